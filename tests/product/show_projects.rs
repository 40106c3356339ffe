//! What projects choose of their pages, what they show of their own, versions side by side, and
//! pages that are taken away.

use serde_json::{Value, json};

use crate::{
    backfill::newer,
    encoders,
    support::{Answer, Serving, Workspace},
};

const MANIFEST: &str = "projects/reviews/project.toml";

fn ask(serving: &Serving, path: &str, content: &str) -> Answer {
    serving.post(path, json!({ "attributes": { "content": content } }).to_string())
}

#[test]
fn any_version_answers_beside_another_until_it_is_gone() {
    let workspace = Workspace::with_reviews(240);
    workspace.mesh(["run", "reviews"]).ok();
    newer(&workspace);
    let serving = workspace.serve();
    let at = |version: u32| format!("/api/v1/projects/reviews/versions/{version}/predict");
    let told = |version: u32| ask(&serving, &at(version), "a lovely box").json();
    let (one, two) = (told(1), told(2));
    assert_eq!((&one["version"], &two["version"]), (&json!(1), &json!(2)));
    assert_ne!(one["prediction"], two["prediction"]);
    assert_eq!(two["target"], "portable-f16");
    // What the service answers is what the version answers.
    let body =
        json!({ "data": { "namespace": "reviews", "attributes": { "content": "a lovely box" } } });
    let served = serving.post("/reviews/v1/predict", body.to_string()).json();
    assert_eq!(served["data"]["attributes"], two["prediction"]);
    // A target by name, and one that it was not compiled for.
    let named = ask(&serving, &format!("{}?target=portable-f16", at(1)), "a lovely box").json();
    assert_eq!(named["prediction"], one["prediction"]);
    ask(&serving, &format!("{}?target=amx-bf16", at(1)), "a").is_problem(404, "not-found");
    // Bad questions get the problems that they get elsewhere.
    ask(&serving, &at(1), "").is_problem(422, "empty-text");
    serving.post(&at(1), "{").is_problem(400, "not-json");
    serving.post(&at(1), "{}").is_problem(422, "schema");
    serving.post(&at(1), r#"{"attributes": {"text": "a"}}"#).is_problem(422, "schema");
    ask(&serving, &at(1), &"a ".repeat(600_000)).is_problem(413, "too-large");
    ask(&serving, &at(3), "a").is_problem(404, "not-found");
    // It was answered a moment ago, and is gone now.
    let shown = workspace.json(["model", "show", "reviews", "--version", "1", "--json"]);
    let digest = shown["version"]["compiled"][0]["digest"].as_str().unwrap();
    std::fs::remove_dir_all(workspace.path(&format!(".mesh/store/artifacts/{digest}"))).unwrap();
    let problem = ask(&serving, &at(1), "a lovely box").is_problem(404, "not-found");
    assert!(problem["detail"].as_str().unwrap().contains("no version 1; it may have been deleted"));
}

#[test]
fn targets_of_one_version_stand_side_by_side() {
    let workspace = encoders::with_model();
    let targets = "targets = [\"portable-f32\", \"avx2-f32\"]";
    let manifest = encoders::manifest("vectors", "embedding", "")
        .replace("[compile]", &format!("[compile]\n{targets}"));
    workspace.write("projects/vectors/project.toml", manifest);
    workspace.mesh(["run", "vectors"]).ok();
    let serving = workspace.serve();
    let project = serving.get("/api/v1/projects/vectors").json();
    let known: Vec<&str> = project["versions"][0]["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap())
        .collect();
    assert_eq!(known.len(), 2, "{known:?}");
    let vectors: Vec<Vec<f64>> = known
        .iter()
        .map(|target| {
            let path = format!("/api/v1/projects/vectors/versions/1/predict?target={target}");
            let told = ask(&serving, &path, "a good film").json();
            assert_eq!(told["target"], *target);
            let vector = told["prediction"]["embeddings"].as_array().unwrap();
            vector.iter().map(|value| value.as_f64().unwrap()).collect()
        })
        .collect();
    let cosine: f64 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
    assert!((cosine - 1.0).abs() < 1e-4, "{cosine}");
}

#[test]
fn a_manifest_chooses_panels_examples_and_words() {
    let workspace = Workspace::with_reviews(60);
    let show = "[show]\npanels = [\"answer\", \"metrics\"]\nexamples = [\"A lovely box\"]\n\
                words = { intro = \"Try a review.\" }\n\n[serve]";
    workspace.edit(MANIFEST, "[serve]", show);
    workspace.mesh(["run", "reviews"]).ok();
    workspace.mesh(["check"]).ok();
    let serving = workspace.serve();
    let told = serving.get("/api/v1/projects/reviews").json();
    assert_eq!(told["show"]["panels"], json!(["answer", "metrics"]));
    assert_eq!(told["show"]["words"]["intro"], "Try a review.");
    let examples = serving.get("/api/v1/projects/reviews/examples").json();
    assert_eq!(examples["examples"], json!([{ "text": "A lovely box", "label": null }]));
    let none = ask(&serving, "/api/v1/projects/reviews/panels", "a").is_problem(404, "not-found");
    assert!(none["detail"].as_str().unwrap().contains("no panels of its own"));
    drop(serving);

    // A page tells what is wrong with a manifest that it cannot show.
    let broken = "[project]\nname = \"broken\"\ntask = \"keywords\"\n\n[show]\npanles = []\n";
    workspace.write("projects/broken/project.toml", broken);
    let serving = workspace.serve();
    let told = &serving.get("/api/v1/mesh").json()["broken"][0];
    assert_eq!(told["project"], "broken");
    let error = told["error"].as_str().unwrap();
    for part in ["projects/broken/project.toml, line 6: unknown key `panles`", "mean `panels`"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains(workspace.path("").to_str().unwrap()), "{error}");
    drop(serving);
    std::fs::remove_dir_all(workspace.path("projects/broken")).unwrap();

    // What is not there is named, with what was probably meant.
    for (from, to, told) in [
        ("\"metrics\"]", "\"metrisc\"]", ["there is no panel `metrisc`", "metrics"]),
        ("\"metrisc\"]", "\"answer\"]", ["the panel `answer` is named twice", "one place"]),
        (
            "\"answer\"]",
            "\"code\"]\nwords = { intor = \"a\" }\n#",
            ["the page has no words `intor`", "intro"],
        ),
    ] {
        workspace.edit(MANIFEST, from, to);
        if told[1] == "intro" {
            workspace.edit(MANIFEST, "words = { intro", "# words = { intro");
        }
        workspace.mesh(["check"]).code(1).tells(told);
    }
}

#[test]
fn who_has_no_texts_shows_those_that_say_most() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["run", "reviews"]).ok();
    let said =
        |n: usize| (0..40).map(|at| format!("{}said{at} ", (n * at) % 89)).collect::<String>();
    let rows: String = (0..90).map(|n| format!("{}of{},{}\n", said(n), n % 3, n % 3)).collect();
    workspace.write("zeitung.csv", format!("text,label\n{rows}"));
    workspace.mesh(["new", "project", "zeitung", "--data", "zeitung.csv"]).ok();
    workspace.mesh(["run", "zeitung"]).ok();
    workspace.mesh(["new", "project", "copies", "--task", "near-duplicates"]).ok();
    let serving = workspace.serve();
    let told = serving.get("/api/v1/projects/copies/examples?limit=3").json();
    assert_eq!((&told["from"], &told["split"]), (&json!("zeitung"), &json!("test")));
    assert_eq!(told["examples"].as_array().unwrap().len(), 3);
}

#[test]
fn pages_have_addresses_that_browsers_are_answered_at() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["run", "reviews"]).ok();
    let described = "description = \"</title></script><script>run()</script>\"";
    workspace.edit(MANIFEST, "description = \"Which stars a text has\"", described);
    let serving = workspace.serve();
    let ask = |path: &str, rest: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{rest}\r\n");
        serving.raw(head.as_bytes())
    };
    let browse = |path: &str| ask(path, "accept: text/html\r\n");
    for path in ["/", "/reviews", "/reviews/quality/1", "/-/backfills", "/-/backfills/7"] {
        let page = browse(path);
        assert_eq!(page.status, 200, "{path}: {page:?}");
        assert!(page.body.starts_with("<!doctype html>") && page.body.contains("<main"), "{path}");
        // The policy names what is inline by its digest, and nothing by a leave for all.
        assert!(page.head.contains("style-src 'self' 'sha256-"), "{}", page.head);
        assert!(!page.head.contains("unsafe"), "{}", page.head);
    }
    // What is drawn is known without a script, and what people wrote is text in all its places.
    let page = browse("/reviews/try").body;
    assert!(page.contains("<title>reviews · ML Mesh</title>"), "{page}");
    assert!(page.contains("&lt;script&gt;run()&lt;/script&gt;"), "{page}");
    assert!(!page.contains("<script>run()") && !page.contains("</title></script>"), "{page}");
    let json = |page: &str, id: &str| -> Value {
        let json = page.split(&format!("id=\"{id}\">")).nth(1).unwrap();
        serde_json::from_str(json.split("</script>").next().unwrap()).unwrap()
    };
    // A form that is drawn says what it needs; other pages have what they ask first.
    assert!(page.contains("<textarea") && json(&page, "form").is_object(), "{page}");
    let told = json(&browse("/reviews/compare").body, "told");
    assert_eq!(told["/api/v1/projects/reviews"]["production"], 1);
    let contract = &told["/api/v1/projects/reviews/contract"];
    assert_eq!(*contract, serving.get("/api/v1/projects/reviews/contract").json());
    assert!(contract["attributes"]["properties"]["content"].is_object(), "{contract}");
    // It is sent once.
    let first = browse("/reviews/versions");
    let tag = first.head.split("etag: w/").nth(1).unwrap().lines().next().unwrap();
    let again =
        ask("/reviews/versions", &format!("accept: text/html\r\nif-none-match: W/{tag}\r\n"));
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    // What nobody has is told to a browser by a page, and to a program by a problem.
    for path in ["/nobody", "/nobody/try", "/reviews/nothing", "/-/nothing", "/-"] {
        let page = browse(path);
        assert_eq!(page.status, 404, "{path}");
        assert!(page.body.contains("<h1>Nothing is here</h1>"), "{path}: {}", page.body);
        serving.get(path).is_problem(404, "not-found");
    }
    serving.get("/reviews/v1/nothing").is_problem(404, "not-found");
    serving.post("/reviews/v1/nothing", "{}").is_problem(404, "not-found");
    serving.post("/reviews/try", "{}").is_problem(404, "not-found");
}

#[test]
fn a_project_in_rust_shows_panels_of_its_own() {
    let workspace = Workspace::new();
    let lsh = crate::support::repository().join("projects/lsh/project.toml");
    workspace.write("projects/lsh/project.toml", std::fs::read_to_string(lsh).unwrap());
    workspace.mesh(["check"]).ok();
    let serving = workspace.serve();
    let project = serving.get("/api/v1/projects/lsh").json();
    assert_eq!(project["own_panels"], json!(["likeness", "shingles"]));
    let path = "/api/v1/projects/lsh/panels";
    let told = ask(&serving, path, "one two three four five six").json();
    let panels = told["panels"].as_array().unwrap();
    let kinds: Vec<&Value> = panels.iter().map(|panel| &panel["kind"]).collect();
    assert_eq!(kinds, ["line", "table"]);
    // At the threshold of 0.6: 1 - (1 - 0.6^7)^18.
    let chance = panels[0]["lines"][0]["values"][30].as_f64().unwrap();
    assert!((chance - (1.0 - (1.0 - 0.6f64.powi(7)).powi(18))).abs() < 1e-12, "{chance}");
    assert_eq!(panels[0]["place"], 30);
    assert_eq!(
        panels[1]["rows"],
        json!([["1", "one two three four five"], ["2", "two three four five six"]])
    );
    let longer =
        json!({ "attributes": { "content": "one two" }, "parameters": { "shingle_list": 3 } });
    let told = serving.post(path, longer.to_string()).json();
    assert_eq!(told["panels"][1]["rows"], json!([]));
    let wrong = json!({ "attributes": { "content": "one" }, "parameters": { "threshold": 2 } });
    serving.post(path, wrong.to_string()).is_problem(422, "invalid-parameter");
}

#[test]
fn a_page_is_taken_away_with_its_card_and_examples() {
    let workspace = Workspace::with_reviews(120);
    workspace
        .mesh(["show", "export", "reviews"])
        .code(1)
        .tells(["no version in production", "mesh run reviews"]);
    workspace.mesh(["run", "reviews"]).ok();
    newer(&workspace);
    let told = workspace.json(["show", "export", "reviews", "--json"]);
    assert_eq!((&told["version"], &told["file"]), (&json!(2), &json!("reviews-v2.html")));
    workspace.mesh(["show", "export", "reviews", "--version", "1", "--out", "card.html"]).ok();
    let page = workspace.read("card.html");
    assert!(page.contains("<title>reviews version 1</title>"));
    // All that it says and does is in it: nothing is allowed to be loaded.
    let policy = page.split("content=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let record = page.split("id=\"record\">").nth(1).unwrap().split("</script>").next().unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(
        record["answers"].as_array().unwrap().len(),
        record["examples"]["examples"].as_array().unwrap().len()
    );
    assert!(record["told"]["/api/v1/projects/reviews/versions/1"]["card"]["metrics"].is_object());
    let bad = workspace.mesh(["show", "export", "reviews", "--version", "9"]).code(1);
    bad.tells(["no version 9", "mesh model list reviews"]);
    workspace.mesh(["show", "export", "nobody"]).code(2);
    workspace
        .mesh(["show", "export", "reviews", "--out", "missing/card.html"])
        .code(1)
        .tells(["missing/card.html"]);
}
