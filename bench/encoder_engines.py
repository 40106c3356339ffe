"""The engines of the encoder benchmark, as processes that take turns.

What is spoken with them is written in `encoder_worker.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from encoder_graph import Graphs

BENCH = Path(__file__).resolve().parent
OURS = BENCH.parent / "target/release/mesh-bench"
PEERS = ("ort-fp32", "ort-int8", "openvino-f32", "openvino-bf16")
TARGETS = ("amx-bf16", "avx512-bf16", "avx512-f32", "avx2-f32", "avx512-vnni-i8")
# The slowest command takes some tens of seconds; what takes longer than this hangs.
DEADLINE_SECONDS = 600


class Failed(Exception):
    """Why an engine could not do what it was told."""


@dataclass(frozen=True)
class Spec:
    """How an engine is started."""

    name: str
    command: tuple[str, ...]

    def start(self, cores: list[int]) -> "Engine":
        """A process on these cores, a thread for each."""
        return Engine(self, cores)


def specs(name: str, model: Path, graphs: Graphs) -> list[Spec]:
    """The variants of an engine, of which the fastest is to be taken."""
    family, _, precision = name.partition("-")
    worker = (sys.executable, str(BENCH / "encoder_worker.py"))
    if family == "mesh":
        if not OURS.exists():
            raise Failed(f"{OURS.relative_to(BENCH.parent)} is not built")
        return [Spec(name, (str(OURS), "encode", "--model", str(model), "--target", precision))]
    if family == "openvino":
        cache = str(graphs.onnx.parent / "openvino")
        options = ("--model", str(graphs.onnx), "--precision", precision, "--cache", cache)
        return [Spec(name, (*worker, "openvino", *options))]
    if name in PEERS:
        precision = {"fp32": "f32", "int8": "i8"}[precision]
        worker = (*worker, "ort", "--precision", precision, "--model")
        return [
            Spec(f"{name}, {variant}", (*worker, str(file)))
            for variant, file in graphs.ort[precision].items()
        ]
    raise Failed("there is no engine of that name")


class Engine:
    """A process that waits for its turn."""

    def __init__(self, spec: Spec, cores: list[int]) -> None:
        self.spec = spec
        self.errors = tempfile.TemporaryFile("w+")
        threads = str(len(cores))
        libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *spec.command, "--threads", threads],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | dict.fromkeys(libraries, threads),
        )

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, op: str, **fields: object) -> None:
        """Gives a command."""
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
            self.process.stdin.flush()

    def receive(self) -> dict:
        """The answer to the oldest command that has none."""
        deadline = Timer(DEADLINE_SECONDS, self.process.kill)
        deadline.start()
        line = self.process.stdout.readline()
        deadline.cancel()
        answer = json.loads(line) if line else {"error": self.last_words()}
        if "error" in answer:
            failed = Failed(answer["error"])
            failed.add_note(f"This was {self.spec.name}.")
            raise failed
        return answer

    def last_words(self) -> str:
        """How a process ended that should not have."""
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines() or ["it said nothing"]
        return f"it ended with code {code}: {said[-1]}"

    def ask(self, op: str, **fields: object) -> dict:
        """Gives a command, and waits for its answer."""
        self.send(op, **fields)
        return self.receive()

    def close(self) -> None:
        """Ends the process."""
        self.send("quit")
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def cold_start(spec: Spec, text: list[int], core: int) -> dict[str, float]:
    """Seconds from the start of the process to its first embedding, and of opening the model."""
    started = time.perf_counter()
    with spec.start([core]) as engine:
        engine.send("load")
        engine.send("embed", texts=[text])
        load = engine.receive()
        engine.receive()
        return {"wall": time.perf_counter() - started, "load": load["wall"]}


def peaks(core: int) -> tuple[dict[str, float], str]:
    """A core's measured peak in GFLOP/s by precision, or why there is none."""
    if not OURS.exists():
        return {}, f"{OURS.relative_to(BENCH.parent)} is not built"
    command = ["taskset", "-c", str(core), OURS, "peak"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        return {name: float(peak) for name, peak in json.loads(done.stdout).items() if peak}, ""
    except ValueError:
        return {}, "`mesh-bench peak` gave none"
