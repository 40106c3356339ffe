"""Backfills of Debian's package descriptions: beside the engine with nothing around it, the plan's
estimate beside what it took, memory, cutover and rollback; on a cluster of this machine; and beside
what a user would write instead, a script with pandas and ONNX Runtime, Apache Beam's RunInference, a
pandas UDF of Spark.

    make bench-backfill

`--rows` documents for encoders, `--documents` of them for linear models: all, without it.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import backfill_cluster
import backfill_peers as peers
from backfill_mesh import ROOT, THREADS, archives, artifacts, backfill, give_up, mesh, workspace

ANSWER = ROOT / "target/release/answer-texts"


def engine(folder: Path, project: str, texts: list[str]):
    """The engine alone, as a process that answers all texts at each line."""
    compiled = artifacts(folder, project)["compile"]
    file = folder / f"{project}.jsonl"
    # Identical texts once, as a backfill does.
    file.write_text("".join(json.dumps({"content": text}) + "\n" for text in dict.fromkeys(texts)))
    command = [
        ANSWER,
        folder / f"projects/{project}/project.toml",
        compiled,
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
        runs.append(backfill(folder, archive, project))
        give_up(folder, runs[-1])
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


def moves(folder: Path, archive: str) -> dict:
    """A cutover and its way back."""
    run = mesh(folder, "backfill", "run", archive, "news-topic", "--max-rejected", "1")
    moved = mesh(folder, "backfill", "cutover", str(run["id"]))
    back = mesh(folder, "backfill", "rollback", archive)
    return {
        "documents": run["rows"],
        "cutover_s": moved["wall"],
        "rollback_s": back["wall"],
        "done_twice_after_a_kill_at_most": THREADS / run["chunks"],
    }


def told(result: dict) -> None:
    print(json.dumps(result), flush=True)


def ours(folder: Path, texts: dict[str, list[str]], rounds: int) -> Iterator[dict]:
    """Our own runs beside the engine alone."""
    for project, archive, times in [
        ("news-topic", "fewer", rounds),
        ("news-topic", "all", rounds),
        ("sentiment", "some", max(1, rounds // 2)),
        ("embeddings", "some", max(1, rounds // 2)),
    ]:
        yield share(folder, project, archive, texts[archive], times)
    yield moves(folder, "all")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=6_000, help="documents for encoders")
    arguments.add_argument("--documents", type=int, default=0, help="documents for linear models")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", choices=["mesh", "cluster", "peers"], help="a part of it")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace(folder, ["news-topic", "sentiment", "embeddings"])
        sizes = {"ten": 10, "some": options.rows, "fewer": 25_000, "all": options.documents}
        texts = archives(folder, sizes)
        cases = [("embeddings", "some"), ("sentiment", "some"), ("news-topic", "all")]
        parts = {
            "cluster": lambda: backfill_cluster.beside_one_process(folder, cases, options.rounds),
            "peers": lambda: peers.all_beside(folder, texts),
            "mesh": lambda: ours(folder, texts, options.rounds),
        }
        for part, results in parts.items():
            if options.only in (None, part):
                try:
                    for result in results():
                        told(result)
                except peers.Failed as failed:
                    told({"failed": str(failed)})


if __name__ == "__main__":
    main()
