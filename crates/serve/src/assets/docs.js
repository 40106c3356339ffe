"use strict";
// The page cannot know under which address it is seen; the browser does.
for (const example of document.querySelectorAll("pre")) {
  example.textContent = example.textContent.replace("http://localhost:8080", location.origin);
}
const form = document.getElementById("try");
if (form) {
  const answer = document.getElementById("answer");
  const status = document.getElementById("status");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const started = performance.now();
    status.textContent = "…";
    try {
      const response = await fetch(form.dataset.route, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: document.getElementById("body").value,
      });
      const text = await response.text();
      const version = response.headers.get("x-mesh-model-version");
      const took = (performance.now() - started).toFixed(1);
      status.textContent =
        `${response.status} in ${took} ms` + (version ? `, model version ${version}` : "");
      try {
        answer.textContent = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        answer.textContent = text;
      }
    } catch {
      status.textContent = "the service does not answer";
      answer.textContent = "";
    }
  });
}
