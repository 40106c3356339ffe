"""Our BERT encoder beside ONNX Runtime and OpenVINO, on all-MiniLM-L6-v2.

Each engine has a process of its own, one thread on one core, and they take turns: every round asks
each of them once for everything, and medians over the rounds are compared. What is measured:

- milliseconds of one text of 16, 64, 128 and 256 tokens, from the beginnings of news;
- texts per second on a mix of news paragraphs, reviews and tweets, in the best of seven ways to
  batch them: half of the texts are tried in each way, and the rounds decide between the near ones;
- how far the embeddings of the mix are from those of ONNX Runtime in f32;
- half of the mix on two threads beside one, a process of each kind in turns, the best of each;
- the start of a process to its first embedding, and the memory of one that has done the mix once.

The peers are at their best: ONNX Runtime has the faster of two graphs, optimised beforehand and
mapped; OpenVINO has its cache. Their graphs take any batch and length, as a service must; compiled
for one length only, OpenVINO is some 2 to 10% faster on a single text. Times of one thread are CPU
times unless `--clock wall`, as other programs may run beside; on an idle machine the two are the
same, and the ratio is told. Tokenising is counted for nobody. `mesh-bench peak` measures the
machine's peak, which shares refer to.

    make bench-encoder, or
    bench/venv.sh && bench/.venv/bin/python bench/encoder.py [--quick] [--engines ort-int8,...]
"""

import argparse
import json
import platform
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import psutil

import encoder_data as data
import encoder_report as report
from encoder_engines import PEERS, TARGETS, Engine, Failed, Spec, cold_start, peaks, specs
from encoder_graph import Graphs

REFERENCE = "ort-fp32"
COLD_STARTS = 7
# Ways to batch that are slower than the best by more than this are not measured further.
NEAR = 1.05


@dataclass
class Row:
    """An engine, and what was measured of it."""

    spec: Spec
    engine: Engine
    loaded: dict
    policies: dict[str, data.Policy]
    """The ways to batch that it has to choose from."""
    samples: dict[str, list[dict]] = field(default_factory=dict)
    told: dict = field(default_factory=dict)

    def sample(self, name: str, engine: Engine, batches: list[data.Batch]) -> None:
        """One more measurement."""
        self.samples.setdefault(name, []).append(engine.ask("run", batches=batches))

    def chosen(self, texts: list[data.Ids]) -> list[data.Batch]:
        """Texts in batches of the policy that was found best."""
        return self.policies[self.told["policy"]](texts)

    def seconds(self, name: str, clock: str) -> float:
        """The median of a measurement."""
        return median(sample[clock] for sample in self.samples[name])


def fastest(variants: list[Spec], texts: data.Texts, core: int) -> Spec:
    """The fastest variant on texts of 64 tokens, in turns."""
    if len(variants) == 1:
        return variants[0]
    batches = data.one_by_one(texts.fixed[64])
    engines = [spec.start([core]) for spec in variants]
    try:
        for engine in engines:
            engine.ask("load")
        rounds = [[e.ask("run", batches=batches)["cpu"] for e in engines] for _ in range(5)]
    finally:
        for engine in engines:
            engine.close()
    times = [min(column) for column in zip(*rounds)]
    return variants[times.index(min(times))]


def start(name: str, texts: data.Texts, model: Path, graphs: Graphs, core: int) -> Row:
    """The row of an engine that has opened its model; its caches are written then."""
    spec = fastest(specs(name, model, graphs), texts, core)
    engine = spec.start([core])
    try:
        loaded = engine.ask("load")
    except Failed:
        engine.close()
        raise
    return Row(spec, engine, loaded, data.policies(loaded.get("padding", False)))


def take_turns(rows: dict[str, Row], texts: data.Texts, rounds: int, clock: str) -> None:
    """The measurements on one thread."""
    fixed = {length: data.one_by_one(some) for length, some in texts.fixed.items()}
    half = texts.mix[::2]
    ways: dict[str, list[str]] = {}
    for name, row in rows.items():
        # The better of two, since some engines prepare for each shape that is new to them.
        tried = {
            policy: min(row.engine.ask("run", batches=cut(half))[clock] for _ in range(2))
            for policy, cut in row.policies.items()
        }
        row.told["policies"] = {way: len(half) / seconds for way, seconds in tried.items()}
        near = [way for way in tried if tried[way] <= NEAR * min(tried.values())]
        ways[name] = sorted(near, key=tried.get)[:2]
        progress(f"{name} is fastest in batches of: {', '.join(ways[name])}")
    for turn in range(rounds + 1):
        for name, row in rows.items():
            for length, batches in fixed.items():
                row.sample(f"{length} tokens", row.engine, batches)
            for way in ways[name]:
                row.sample(f"mix, {way}", row.engine, row.policies[way](texts.mix))
            if turn == 0:
                row.samples.clear()
        progress(f"round {turn} of {rounds}" if turn else "warmed up")
    for name, row in rows.items():
        best = min(ways[name], key=lambda way: row.seconds(f"mix, {way}", clock))
        row.told["policy"] = best
        row.samples["mix"] = row.samples[f"mix, {best}"]


def agreement(embeddings: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """How near the embeddings are, and how often the nearest neighbour is the same."""

    def neighbours(vectors: np.ndarray) -> np.ndarray:
        similar = vectors @ vectors.T
        np.fill_diagonal(similar, -2)
        return similar.argmax(axis=1)

    cosines = (embeddings * reference).sum(axis=1)
    same = (neighbours(embeddings) == neighbours(reference)).mean()
    return {"min": float(cosines.min()), "mean": float(cosines.mean()), "neighbour": float(same)}


def embeddings(engine: Engine, texts: list[data.Ids]) -> np.ndarray:
    """Embeddings of texts, of length 1 in f64."""
    told = np.array(engine.ask("embed", texts=texts)["embeddings"])
    return told / np.linalg.norm(told, axis=1, keepdims=True)


def agree(rows: dict[str, Row], reference: Row, texts: list[data.Ids]) -> None:
    """Compares every engine's embeddings with the reference's."""
    truth = embeddings(reference.engine, texts)
    for row in rows.values():
        row.told["agreement"] = agreement(embeddings(row.engine, texts), truth)


def two_threads(
    rows: dict[str, Row], texts: list[data.Ids], cores: list[int], rounds: int
) -> None:
    """Texts on one thread and on two, in turns; the best of each, as others may run beside."""
    for name, row in rows.items():
        batches = row.chosen(texts)
        with row.spec.start(cores) as pair:
            pair.ask("load")
            pair.ask("run", batches=batches)
            for _ in range(rounds):
                row.sample("one thread", row.engine, batches)
                row.sample("two threads", pair, batches)
        one, two = (
            min(row.samples[threads], key=lambda sample: sample["wall"])
            for threads in ("one thread", "two threads")
        )
        row.told["two_threads"] = {
            "speedup": one["wall"] / two["wall"],
            "cores": two["cpu"] / two["wall"],
        }
        progress(f"{name} on two threads")


def starts(rows: dict[str, Row], texts: data.Texts, core: int) -> None:
    """Cold starts, and the memory of a process that has done the mix once."""
    colds = {name: [] for name in rows}
    for _ in range(COLD_STARTS):
        for name, row in rows.items():
            colds[name].append(cold_start(row.spec, texts.fixed[16][0], core))
    for name, row in rows.items():
        row.told["cold"] = {key: median(c[key] for c in colds[name]) for key in ("wall", "load")}
        with row.spec.start([core]) as engine:
            before = engine.ask("memory")["rss_bytes"]
            engine.ask("load")
            engine.ask("run", batches=row.chosen(texts.mix))
            row.told["memory"] = {"bare": before, "mix": engine.ask("memory")["rss_bytes"]}


def progress(text: str) -> None:
    """Tells who waits."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Fetches, measures, prints."""
    parser = argparse.ArgumentParser(description="Our encoder beside ONNX Runtime and OpenVINO")
    parser.add_argument("--engines", default=",".join([*PEERS, *(f"mesh-{t}" for t in TARGETS)]))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds")
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    parser.add_argument("--cores", default="0,1", help="the core to measure on, and a second one")
    parser.add_argument("--output", type=Path, default=data.WORK / "encoder.json")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    cores = [int(core) for core in options.cores.split(",")]
    machine = report.machine(psutil.cpu_percent(interval=1))
    model = data.model()
    texts = data.Texts.read(model)
    graphs = Graphs.build(model, data.WORK / "encoder" / "graphs")
    rows: dict[str, Row] = {}
    absent: dict[str, str] = {}
    try:
        for name in options.engines.split(","):
            try:
                rows[name] = start(name, texts, model, graphs, cores[0])
            except Failed as why:
                absent[name] = str(why)
        if not rows:
            sys.exit("\n".join(report.absences(absent)))
        take_turns(rows, texts, rounds, options.clock)
        if REFERENCE in rows:
            agree(rows, rows[REFERENCE], texts.mix)
        else:
            reference = start(REFERENCE, texts, model, graphs, cores[0])
            agree(rows, reference, texts.mix)
            reference.engine.close()
        if len(cores) > 1:
            two_threads(rows, texts.mix[::2], cores[:2], rounds)
        starts(rows, texts, cores[0])
    finally:
        for row in rows.values():
            row.engine.close()
    peak, no_peak = peaks(cores[0])
    results = report.results(rows, texts, data.config(model), peak, options.clock)
    told = {
        "machine": machine,
        "clock": options.clock,
        "rounds": rounds,
        "texts": report.lengths(texts.mix),
        "peak_gflops": peak or None,
        "no_peak": no_peak,
        "absent": absent,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("onnxruntime", "openvino", "onnx", "numpy")},
        "results": results,
    }
    print(*report.markdown(told), sep="\n")
    options.output.write_text(json.dumps(told, indent=2) + "\n")
    progress(f"written to {options.output}")


if __name__ == "__main__":
    main()
