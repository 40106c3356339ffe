"""The page of `sentiment` in a browser, beside the same kind of model in Gradio and in Streamlit.

Each page is opened in Debian's Chromium with nothing cached: when something is drawn, when the form
is, and from where something is loaded. Each is opened twice: in a browser that has no process for
this server yet, as whoever comes from elsewhere, and in one that has, since it opened an answer of
the same server that is no page before; a page of one line tells how much of it is the browser's
own time. Bytes are all that comes over the wire, of whatever protocol and counted between the two,
until a second after somebody typed three words, a key every 80 ms, and saw them answered.

Of mesh also: from a key pressed to a drawn answer, and the memory of the server with 1,000 open
live pages. The model is linear in all three; the peers' is scikit-learn's TF-IDF and logistic
regression, fitted on the same training split. A server is started, opened once, and only then
measured, so that no one pays for what it loads lazily. Rounds take turns; medians are compared.

    make bench-show
    bench/venv.sh show && bench/.venv/bin/python bench/show.py [--mesh target/debug/mesh]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import joblib
import psutil
import pyarrow.parquet as parquet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from serve import BENCH, MESH, ROOT, free_port, wait_for

PAGES = 1000
WEB = ROOT / "scripts/web.sh"


def workspace(mesh: Path, folder: Path) -> dict[str, list[str]]:
    """A workspace with `sentiment` as a linear model, run; gives its training split."""
    cache = ROOT / ".mesh/sources"
    cache.mkdir(parents=True, exist_ok=True)
    subprocess.run([mesh, "init", folder], check=True, stdout=subprocess.DEVNULL)
    (folder / ".mesh").mkdir(exist_ok=True)
    (folder / ".mesh/sources").symlink_to(cache)
    shutil.copytree(ROOT / "projects/sentiment", folder / "projects/sentiment")
    manifest = folder / "projects/sentiment/project.toml"
    text = manifest.read_text().replace('model = ["linear", "encoder-head"]', 'model = "linear"')
    # Without the encoder that it would be compared with.
    text = re.sub(r"\[(model|train\.encoder_head)\]\n(.+\n)+", "", text)
    manifest.write_text(text)
    done = subprocess.run(
        [mesh, "-C", folder, "run", "sentiment", "--json"], check=True, capture_output=True
    )
    steps = {step["step"]: step for step in json.loads(done.stdout)[0]["steps"]}
    dataset = folder / ".mesh/store/artifacts" / steps["prepare"]["output"]
    return parquet.read_table(dataset / "train.parquet").to_pydict()


def browse(name: str, url: str = "") -> dict:
    """What a browser with nothing cached sees of a page; without an address, of one line."""
    command = [WEB, "node", BENCH / "show_browser.mjs", name, url]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory(server: subprocess.Popen) -> float:
    """The resident memory of a server and of what it started, in MB."""
    process = psutil.Process(server.pid)
    return sum(part.memory_info().rss for part in [process, *process.children(True)]) / 1e6


def own(server: subprocess.Popen) -> float:
    """The memory that is a server's alone, in MB: without files, which stay in the page cache."""
    process = psutil.Process(server.pid)
    statuses = [Path(f"/proc/{part.pid}/status") for part in [process, *process.children(True)]]
    lines = [line for status in statuses for line in status.read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")) / 1e6


def open_pages(server: subprocess.Popen, port: int) -> float:
    """How much the memory grows by pages that are open, in MB."""
    before = memory(server)
    command = [WEB, "node", ROOT / "tests/browser/pages.mjs", f"127.0.0.1:{port}", str(PAGES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pages:
        if pages.stdout.readline() != "ticked\n":
            sys.exit("not all pages were told what is live")
        more = memory(server) - before
        pages.kill()
    return more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mesh", type=Path, default=MESH)
    options = parser.parse_args()
    mesh = options.mesh.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train = workspace(mesh, folder)
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(vectorizer, LogisticRegression(C=3, max_iter=1000))
        joblib.dump(model.fit(train["text"], train["label"]), folder / "model")
        ports = {name: free_port() for name in ("mesh", "gradio", "streamlit")}
        python = [sys.executable]
        commands = {
            "mesh": [mesh, "-C", folder, "serve", "sentiment", "--port", ports["mesh"]],
            "gradio": [*python, BENCH / "show_gradio.py", ports["gradio"]],
            "streamlit": [*python, "-m", "streamlit", "run", BENCH / "show_streamlit.py",
                          "--server.port", ports["streamlit"], "--server.headless", "true",
                          "--browser.gatherUsageStats", "false"],
        }
        urls = {name: f"http://127.0.0.1:{port}/" for name, port in ports.items()}
        environment = os.environ | {"MODEL": str(folder / "model"), "GRADIO_ANALYTICS_ENABLED": "0"}
        servers = {
            name: subprocess.Popen([str(part) for part in command], env=environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for name, command in commands.items()
        }
        try:
            for name, server in servers.items():
                wait_for(urls[name], server)
                browse(name, urls[name])
            seen = {name: [] for name in [*servers, "plain"]}
            for _ in range(options.rounds):
                for name in seen:
                    seen[name].append(browse(name, urls.get(name, "")))
            resident = {name: memory(server) for name, server in servers.items()}
            alone = {name: own(server) for name, server in servers.items()}
            more = open_pages(servers["mesh"], ports["mesh"])
        finally:
            for server in servers.values():
                server.terminate()
            for server in servers.values():
                server.wait()

    def figure(name: str, key: str) -> float:
        return median(round[key] for round in seen[name])

    print(f"{options.rounds} rounds, medians; nothing cached")
    print("             drawn ms   form ms    the browser started: drawn ms   form ms")
    for name in seen:
        print(f"{name:10} {figure(name, 'drawn'):10.0f} {figure(name, 'form'):9.0f}"
              f" {figure(name, 'started_drawn'):30.0f} {figure(name, 'started_form'):9.0f}")
    print("            loaded kB   elsewhere   server MB   its own MB")
    for name in servers:
        print(f"{name:10} {figure(name, 'bytes') / 1e3:10.1f} {figure(name, 'elsewhere'):11.0f}"
              f" {resident[name]:11.1f} {alone[name]:12.1f}")
    keys = ("drawn", "form", "started_drawn", "started_form", "bytes")
    for name in ("gradio", "streamlit"):
        ratios = [figure("mesh", key) / figure(name, key) for key in keys]
        ratios += [resident["mesh"] / resident[name], alone["mesh"] / alone[name]]
        told = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"mesh / {name}: drawn, form, both started, loaded, memory, its own: {told}")
    print(f"all that the mesh at a glance needs: {figure('mesh', 'first_page') / 1e3:.1f} kB,"
          f" first content after {figure('mesh', 'first_drawn'):.0f} ms")
    print(f"from a key pressed to a drawn answer: median {figure('mesh', 'key'):.1f} ms,"
          f" slowest of 20 {figure('mesh', 'slowest'):.1f} ms")
    print(f"{PAGES} open live pages: {more:.1f} MB more")


if __name__ == "__main__":
    main()
