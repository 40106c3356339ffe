"""What the backfill benchmark works on: a workspace with projects of this repository, archives of
Debian's package descriptions, and our own runs over them.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from archive import all_descriptions

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
MESH = ROOT / "target/release/mesh"
LANGUAGES = "en da it fr de pt_BR pl ja ru es zh_CN cs ko sk uk pt".split()
THREADS = os.cpu_count()


def mesh(folder: Path, *arguments: str) -> dict:
    """The JSON that a command prints, with its seconds and peak memory in MB."""
    command = ["/usr/bin/time", "-f", "%M", MESH, "-C", folder, *arguments, "--json"]
    started = time.monotonic()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}\n{done.stdout}")
    told = json.loads(done.stdout)
    told = told if isinstance(told, dict) else {"told": told}
    told["wall"] = time.monotonic() - started
    told["memory"] = int(done.stderr.split()[-1]) / 1000
    return told


def workspace(folder: Path, projects: list[str]) -> None:
    """A workspace with projects of this repository, run, without their check of languages."""
    subprocess.run([MESH, "init", folder], check=True, stdout=subprocess.DEVNULL)
    cache = ROOT / ".mesh/sources"
    cache.mkdir(parents=True, exist_ok=True)
    (folder / ".mesh").mkdir(exist_ok=True)
    (folder / ".mesh/sources").symlink_to(cache)
    # What sentiment would take of ner is known by its manifest; nothing is told by it here.
    shutil.copytree(ROOT / "projects/ner", folder / "projects/ner")
    for project in projects:
        shutil.copytree(ROOT / f"projects/{project}", folder / f"projects/{project}")
        manifest = folder / f"projects/{project}/project.toml"
        text = manifest.read_text()
        start = text.find("\n[language]")
        if start >= 0:
            # Most documents are not English: the models answer them all the same.
            end = text.index("\n[", start + 2)
            text = text[:start] + text[end:]
        manifest.write_text(text)
        command = [MESH, "-C", folder, "run", project]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def archives(folder: Path, sizes: dict[str, int]) -> dict[str, list[str]]:
    """Archives of so many documents each, spread over all; gives their texts."""
    found = all_descriptions(BENCH / ".venv/debian", LANGUAGES)
    rows = [(f"{lang}-{at}", lang, text) for lang in LANGUAGES for at, text in enumerate(found[lang])]
    texts = {}
    for name, size in sizes.items():
        some = rows[:: max(1, len(rows) // size)][:size] if size else rows
        columns = {key: [row[at] for row in some] for at, key in enumerate(["id", "lang", "text"])}
        parquet.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=20_000)
        mesh(folder, "new", "archive", name, "--data", str(folder / f"{name}.parquet"), "--key", "id")
        texts[name] = columns["text"]
    return texts


def again(folder: Path, archive: str) -> str:
    """One more archive of the same documents, which nobody enriched; gives its name.

    What a run left need not be removed before the next: for a minute or so, whoever makes a file
    where others were just deleted waits for the file system (ext4), which passes over their places.
    """
    name = f"{archive}-{len(list(folder.glob(f'{archive}-*.parquet')))}"
    os.link(folder / f"{archive}.parquet", folder / f"{name}.parquet")
    mesh(folder, "new", "archive", name, "--data", str(folder / f"{name}.parquet"), "--key", "id")
    return name


def in_memory(file: Path) -> None:
    """Reads a file, so that it is in memory."""
    with file.open("rb", buffering=0) as read:
        while read.read(1 << 20):
            pass


def artifacts(folder: Path, project: str) -> dict[str, Path]:
    """The folders of what a project's steps left."""
    (told,) = mesh(folder, "run", project)["told"]
    store = folder / ".mesh/store/artifacts"
    return {step["step"]: store / step["output"] for step in told["steps"]}


def backfill(folder: Path, archive: str, project: str, *more: str) -> dict:
    """A run over all documents; who asked gives it up afterwards."""
    all_rows = ("--all-rows", "--max-rejected", "1")
    return mesh(folder, "backfill", "run", archive, project, *all_rows, *more)


def give_up(folder: Path, run: dict) -> None:
    """Removes what a run left."""
    mesh(folder, "backfill", "cancel", str(run["id"]))


def answers(folder: Path, archive: str, project: str) -> pd.DataFrame:
    """What the only backfill of a project left, by key."""
    (generation,) = (folder / f"{archive}.enriched/{project}").glob("g-*")
    parts = sorted(generation.glob("part-*.parquet"))
    return pd.concat(map(pd.read_parquet, parts)).set_index("id")
