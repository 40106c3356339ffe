"""Backfills of Debian's package descriptions: beside the engine with nothing around it, the plan's
estimate beside what it took, memory, cutover and rollback.

    make bench-backfill

`--rows` documents for encoders, all of them for linear models.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from archive import all_descriptions

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
MESH = ROOT / "target/release/mesh"
ANSWER = ROOT / "target/release/answer-texts"
LANGUAGES = "en da it fr de pt_BR pl ja ru es zh_CN cs ko sk uk pt".split()
THREADS = os.cpu_count()


def mesh(folder: Path, *arguments: str, env=None) -> dict:
    """The JSON that a command prints, with its seconds and peak memory in MB."""
    command = ["/usr/bin/time", "-f", "%M", MESH, "-C", folder, *arguments, "--json"]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
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
        mesh_run(folder, project)


def mesh_run(folder: Path, project: str) -> None:
    subprocess.run([MESH, "-C", folder, "run", project], check=True, stdout=subprocess.DEVNULL)


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


def engine(folder: Path, project: str, texts: list[str]):
    """The engine alone, as a process that answers all texts at each line."""
    compiled = mesh(folder, "model", "list", project)["told"][-1]["compiled"][0]["digest"]
    file = folder / f"{project}.jsonl"
    # Identical texts once, as a backfill does.
    file.write_text("".join(json.dumps({"content": text}) + "\n" for text in dict.fromkeys(texts)))
    command = [
        ANSWER,
        folder / f"projects/{project}/project.toml",
        folder / f".mesh/store/artifacts/{compiled}",
        file,
        str(THREADS),
    ]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process) -> float:
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())["seconds"]


def share(folder: Path, project: str, archive: str, texts: list[str], rounds: int) -> dict:
    """A backfill's share of the engine's own speed, and the plan's estimate."""
    alone = engine(folder, project, texts)
    ask(alone)
    engines, runs, plans = [], [], []
    for _ in range(rounds):
        plans.append(mesh(folder, "backfill", "plan", archive, project, "--all-rows"))
        engines.append(ask(alone))
        run = mesh(folder, "backfill", "run", archive, project, "--all-rows", "--max-rejected", "1")
        runs.append(run)
        mesh(folder, "backfill", "cancel", str(run["id"]))
    alone.stdin.close()
    alone.wait()
    took = statistics.median(run["seconds"] for run in runs)
    planned = statistics.median(plan["seconds"]["value"] for plan in plans)
    return {
        "project": project,
        "documents": len(texts),
        "different": len(set(texts)),
        "engine_s": statistics.median(engines),
        "backfill_s": took,
        "share": statistics.median(e / r["seconds"] for e, r in zip(engines, runs)),
        "documents_per_s": len(texts) / took,
        "planned_s": planned,
        "planned_off": planned / took - 1,
        "memory_mb": max(run["memory"] for run in runs),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=6_000, help="documents for encoders")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace(folder, ["news-topic", "sentiment", "embeddings"])
        sizes = {"some": options.rows, "fewer": 25_000, "all": 0}
        texts = archives(folder, sizes)
        for project, archive, rounds in [
            ("news-topic", "fewer", options.rounds),
            ("news-topic", "all", options.rounds),
            ("sentiment", "some", max(1, options.rounds // 2)),
            ("embeddings", "some", max(1, options.rounds // 2)),
        ]:
            print(json.dumps(share(folder, project, archive, texts[archive], rounds)), flush=True)
        run = mesh(folder, "backfill", "run", "all", "news-topic", "--max-rejected", "1")
        moved = mesh(folder, "backfill", "cutover", str(run["id"]))
        back = mesh(folder, "backfill", "rollback", "all")
        chunks = run["chunks"]
        print(json.dumps({
            "documents": run["rows"],
            "cutover_s": moved["wall"],
            "rollback_s": back["wall"],
            "done_twice_after_a_kill_at_most": THREADS / chunks,
        }))


if __name__ == "__main__":
    main()
