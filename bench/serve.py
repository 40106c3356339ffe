"""`news-topic` served by mesh, beside the same kind of model in FastAPI and uvicorn.

One worker each, on the same core; the load generator (wrk) on another, with the same bodies:
the texts of the test split, in the envelope. The peer's model is scikit-learn's TF-IDF and
logistic regression, fitted on the same training split with the same n-grams and C.
Rounds take turns; medians are compared.

    make bench-serve
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import joblib
import pyarrow.parquet as parquet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
MESH = ROOT / "target/release/mesh"
SERVER_CORE, CLIENT_CORE = "0", "1"
LUA = """
local bodies, at = {}, 0
for line in io.lines("%s") do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
request = function()
  at = at %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
"""


def workspace(folder: Path) -> dict[str, list[str]]:
    """A workspace with news-topic, run; gives the documents of its splits."""
    cache = ROOT / ".mesh/sources"
    cache.mkdir(parents=True, exist_ok=True)
    subprocess.run([MESH, "init", folder], check=True, stdout=subprocess.DEVNULL)
    (folder / ".mesh").mkdir(exist_ok=True)
    (folder / ".mesh/sources").symlink_to(cache)
    shutil.copytree(ROOT / "projects/news-topic", folder / "projects/news-topic")
    manifest = folder / "projects/news-topic/project.toml"
    manifest.write_text(manifest.read_text().replace("[serve]", "[serve]\nworkers = 1"))
    done = subprocess.run(
        [MESH, "-C", folder, "run", "news-topic", "--json"], check=True, capture_output=True
    )
    steps = {step["step"]: step for step in json.loads(done.stdout)[0]["steps"]}
    dataset = folder / ".mesh/store/artifacts" / steps["prepare"]["output"]
    return {
        split: parquet.read_table(dataset / f"{split}.parquet").to_pydict()
        for split in ("train", "test")
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, server: subprocess.Popen) -> None:
    for _ in range(600):
        if server.poll() is not None:
            sys.exit(f"the server of {url} ended")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{url} does not answer")


def load(url: str, script: Path, seconds: int, connections: int) -> dict[str, float]:
    """Requests per second and latencies in milliseconds, as wrk measures them."""
    command = ["taskset", "-c", CLIENT_CORE, "wrk", "--latency", "-t1", f"-c{connections}"]
    command += [f"-d{seconds}s", "-s", str(script), url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"not all requests were answered:\n{text}")
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}

    def latency(percent: str) -> float:
        found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", text)
        return float(found[1]) * unit[found[2]]

    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return {"rps": rate, "p50": latency("50"), "p99": latency("99")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: on Debian, apt-get install wrk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        splits = workspace(folder)
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        model = make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=1000))
        joblib.dump(model.fit(splits["train"]["text"], splits["train"]["label"]), folder / "model")
        bodies = [
            json.dumps({"data": {"namespace": "news-topic", "attributes": {"content": text}}})
            for text in splits["test"]["text"]
        ]
        (folder / "bodies").write_text("\n".join(bodies) + "\n")
        script = folder / "post.lua"
        script.write_text(LUA % (folder / "bodies"))
        ports = {"mesh": free_port(), "fastapi": free_port()}
        commands = {
            "mesh": [MESH, "-C", folder, "serve", "news-topic", "--port", str(ports["mesh"])],
            "fastapi": [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--app-dir", BENCH,
                        "--port", str(ports["fastapi"]), "--workers", "1", "--no-access-log",
                        "--log-level", "warning"],
        }
        environment = os.environ | {"MODEL": str(folder / "model"), "OMP_NUM_THREADS": "1"}
        servers = {
            name: subprocess.Popen(["taskset", "-c", SERVER_CORE, *map(str, command)],
                                   env=environment, stdout=subprocess.DEVNULL)
            for name, command in commands.items()
        }
        urls = {
            name: f"http://127.0.0.1:{port}/news-topic/v1/" for name, port in ports.items()
        }
        results = {name: [] for name in servers}
        try:
            for name, server in servers.items():
                wait_for(urls[name] + "ready", server)
                load(urls[name] + "predict", script, 1, options.connections)
            for _ in range(options.rounds):
                for name in servers:
                    found = load(urls[name] + "predict", script, options.seconds, options.connections)
                    results[name].append(found)
        finally:
            for server in servers.values():
                server.send_signal(signal.SIGTERM)
                server.wait()
    figures = {
        name: {key: statistics.median(r[key] for r in rounds) for key in ("rps", "p50", "p99")}
        for name, rounds in results.items()
    }
    print(f"{options.connections} connections, one worker on one core each, median of "
          f"{options.rounds} rounds of {options.seconds} s")
    print("            requests/s   p50 ms   p99 ms")
    for name, found in figures.items():
        print(f"{name:10} {found['rps']:12.0f} {found['p50']:8.2f} {found['p99']:8.2f}")
    print(f"ratio      {figures['mesh']['rps'] / figures['fastapi']['rps']:12.1f}")


if __name__ == "__main__":
    main()
