"""Backfills beside what a user would write instead, each a program of its own.

`backfill_onnx.py`, `backfill_beam.py` and `backfill_spark.py` read an archive of Parquet, answer
its texts, and write the answers as Parquet. After each run they print a line,

    {"done": 12.3, "work_s": 4.5}

`done` being the clock (`time.monotonic`, of which a machine has one) when the answers were there,
and `work_s` the seconds of that run. So what a user waits for is `done` less the clock when the
program was started; a second run in the same process, where there is one, is of what is warm.

What a start costs, of a peer or of ours, is what a user waits for with an archive of ten documents;
it comes right before the archive itself, so that each program and its model are in memory. So is the
archive, which is read once before it is answered: some virtual machines take pages away that nobody
touched for some seconds, and who comes first would pay for it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import joblib
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

import encoder_data
from backfill_mesh import BENCH, again, answers, artifacts, backfill, in_memory
from encoder_graph import Graphs

# Texts that the fastest batches and graph are chosen on, and the tokens of a batch to choose from:
# with 1, each text is alone.
TRIAL, TOKENS = 200, (1, 512, 1024, 2048)
# A run of ours that takes less is measured twice as often.
SHORT_SECONDS = 10
# The slowest takes some minutes; what takes longer than this hangs.
DEADLINE_SECONDS = 1_200


class Failed(Exception):
    """Why a peer gave no answers."""


@dataclass(frozen=True)
class Run:
    """How long a peer took."""

    whole: float
    """Seconds from the start of the program to its answers."""
    last: float
    """Seconds of the last run of the same process, without its start."""


@dataclass(frozen=True)
class Peer:
    """A program, and how its answers are compared with ours."""

    name: str
    command: tuple[str, ...]
    runs: int
    """How often it answers the archive; more than once if it can stay warm."""
    agreement: Callable[[pd.DataFrame, pd.DataFrame], dict[str, float]]

    def run(self, archive: Path, output: Path) -> Run:
        """Answers an archive."""
        output.mkdir()
        command = [sys.executable, *self.command, "--archive", str(archive)]
        command += ["--output", str(output), "--runs", str(self.runs)]
        libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        with (output / "log").open("w+") as log:
            started = time.monotonic()
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | dict.fromkeys(libraries, "1"),
                start_new_session=True,
            )
            try:
                said, _ = process.communicate(timeout=DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise Failed(f"{self.name} took more than {DEADLINE_SECONDS} s") from None
            if process.returncode:
                log.seek(0)
                last = log.read()[-2000:]
                raise Failed(f"{self.name} ended with code {process.returncode}: {last}")
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return Run(lines[0]["done"] - started, lines[-1]["work_s"])


def topics(folder: Path, file: Path) -> None:
    """What `news-topic` is, made by scikit-learn: the same data, n-grams and C."""
    made = artifacts(folder, "news-topic")
    card = json.loads((made["train"] / "card.json").read_text())
    features = card["options"]["features"]
    assert features["hash_buckets"] == 0 and features["char_ngrams"] == [0, 0]
    parts = [pd.read_parquet(made["prepare"] / f"{part}.parquet") for part in ("train", "validation")]
    rows = pd.concat(parts)
    model = make_pipeline(
        TfidfVectorizer(
            ngram_range=tuple(features["word_ngrams"]),
            min_df=features["min_documents"],
            max_df=features["max_document_share"],
            lowercase=features["lowercase"],
            sublinear_tf=features["sublinear_tf"],
            dtype=np.float32,
        ),
        LogisticRegression(C=card["chosen_c"], max_iter=1000),
    )
    joblib.dump(model.fit(rows["text"], rows["label"]), file)


def same_labels(ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, float]:
    """How often both have the same label."""
    label = ours["label"] if "label" in ours else ours["labels"].map(lambda all: all[0]["label"])
    both = pd.concat([label, theirs["label"]], axis=1, join="inner", keys=["ours", "theirs"])
    return {"compared": len(both), "same_label": float((both["ours"] == both["theirs"]).mean())}


def cosines(ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, float]:
    """How alike the vectors are."""
    columns = [ours["embeddings"], theirs["embedding"]]
    both = pd.concat(columns, axis=1, join="inner", keys=["ours", "theirs"])
    a, b = (np.stack(both[whose]) for whose in ("ours", "theirs"))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return {"compared": len(both), "cosine_mean": float(((a * b).sum(axis=1) / lengths).mean())}


def frameworks(folder: Path) -> list[Peer]:
    """Apache Beam and Spark, with a model of scikit-learn."""
    model = folder / "topics.joblib"
    topics(folder, model)

    def peer(name: str, program: str, runs: int, *more: str) -> Peer:
        command = (str(BENCH / program), "--model", str(model), *more)
        return Peer(name, command, runs, same_labels)

    return [
        peer("beam", "backfill_beam.py", 1),
        peer("beam-tables", "backfill_beam.py", 1, "--tables"),
        peer("spark", "backfill_spark.py", 2),
    ]


def onnx(folder: Path) -> dict[str, Peer]:
    """ONNX Runtime in int8 by project, with the graph and the batches that are fastest here."""
    model = encoder_data.model()
    graphs = Graphs.build(model, encoder_data.WORK / "encoder/graphs")
    trial = folder / "trial.parquet"
    documents = pd.read_parquet(folder / "some.parquet")
    documents[:: max(1, len(documents) // TRIAL)][:TRIAL].to_parquet(trial)

    def peer(graph: Path, tokens: int, *more: str, agreement=cosines) -> Peer:
        command = (str(BENCH / "backfill_onnx.py"), "--graph", str(graph), *more)
        command += ("--tokenizer", str(model / "tokenizer.json"), "--tokens", str(tokens))
        return Peer("onnx", command, 1, agreement)

    took = {}
    for graph in graphs.ort["i8"].values():
        for tokens in TOKENS:
            output = folder / f"trial-{graph.stem}-{tokens}"
            took[graph, tokens] = peer(graph, tokens).run(trial, output).last
    graph, tokens = min(took, key=took.get)
    print(json.dumps({
        "onnx": graph.stem,
        "tokens": tokens,
        "trial_s": {f"{graph.stem}, {tokens}": seconds for (graph, tokens), seconds in took.items()},
    }), flush=True)
    head = str(artifacts(folder, "sentiment")["compile"])
    return {
        "embeddings": peer(graph, tokens),
        "sentiment": peer(graph, tokens, "--head", head, agreement=same_labels),
    }


def beside(folder: Path, project: str, archive: str, texts: list[str], peer: Peer) -> dict:
    """A backfill beside a peer, ours before and after it, short ones twice: ratios of what a user
    waits for, with and without the start of either.
    """
    file, output = folder / f"{archive}.parquet", folder / f"{archive}-{project}-{peer.name}"
    runs, starts = [], []

    def run() -> pd.DataFrame:
        for _ in range(2):
            name = again(folder, archive)
            starts.append(backfill(folder, again(folder, "ten"), project))
            in_memory(file)
            runs.append(backfill(folder, name, project))
            if runs[-1]["wall"] >= SHORT_SECONDS:
                break
        return answers(folder, name, project)

    ours = run()
    try:
        start = peer.run(folder / "ten.parquet", folder / f"ten-{project}-{peer.name}").whole
        in_memory(file)
        theirs = peer.run(file, output)
    except Failed as failed:
        return {"project": project, "peer": peer.name, "failed": str(failed)}
    run()
    whole, our_start = (median(one["wall"] for one in some) for some in (runs, starts))
    told = pd.read_parquet(output / "0").set_index("id")
    return {
        "project": project,
        "peer": peer.name,
        "documents": len(texts),
        "different": len(set(texts)),
        "mesh_whole_s": whole,
        "mesh_start_s": our_start,
        "whole_s": theirs.whole,
        "start_s": start,
        "warm_s": theirs.last if peer.runs > 1 else None,
        "mesh_documents_per_s": len(texts) / whole,
        "documents_per_s": len(texts) / theirs.whole,
        "ratio": theirs.whole / whole,
        "ratio_without_start": (theirs.whole - start) / (whole - our_start),
        "ratio_warm": theirs.last / (whole - our_start) if peer.runs > 1 else None,
        **peer.agreement(ours, told),
    }


def all_beside(folder: Path, texts: dict[str, list[str]]) -> Iterator[dict]:
    """Each peer, one after another."""
    for peer in frameworks(folder):
        yield beside(folder, "news-topic", "all", texts["all"], peer)
    for project, peer in onnx(folder).items():
        yield beside(folder, project, "some", texts["some"], peer)
