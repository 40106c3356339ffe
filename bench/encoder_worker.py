"""A peer of the encoder benchmark: one engine in a process of its own, told by lines of JSON.

The protocol, which every engine speaks, ours as `mesh-bench encode --model FOLDER --target NAME
--threads N`. A command is one line of JSON on standard input, and the answer is one line of JSON
on standard output, flushed; nothing else is written there. Standard error is free. Commands are
answered in their order; more may be in the pipe already. Unknown keys are ignored on both sides.
The process is bound to N cores with `taskset`, and has ten minutes for an answer.

A text is a list of token ids, [CLS] and [SEP] among them and no padding; tokenising is counted
for nobody. Ids fit u32, a text has 1 to 256 of them, and a batch at least one text.

`{"op":"load"}` opens the model, and comes first. The answer is
    `{"wall":0.05,"cpu":0.05,"padding":false,"precision":"bf16","version":"1.2.3"}`:
    the seconds that opening took (without the start of the process and the import of
    libraries), whether a batch is padded to its longest text (if so, the driver sorts and counts
    padding into token budgets; if not, batches by tokens come in order of arrival), the precision
    that products are computed in (`f32`, `bf16` or `i8`, as `mesh-bench peak` names them), and
    the engine's version. Of these, `padding` may be left out (false), and so may `version`.
`{"op":"run","batches":[[[101,7592,102],[101,102]],[[101,102]]]}` encodes, and drops what comes
    out: the sentence embeddings, complete. Each batch is one call of the engine. With N threads
    calls may overlap, or a call may use N threads, whichever is faster. The answer is
    `{"wall":0.0123,"cpu":0.0121}`: seconds from the start of the first call to the end of the
    last one, `cpu` being the user and system time of the whole process meanwhile. Reading the
    line, and laying out what is in it as the engine takes it (for the peers: padding and masks),
    lies outside. The driver runs everything once before what it counts.
`{"op":"embed","texts":[[101,7592,102],[101,102]]}` encodes each text in a call of its own, and
    answers `{"embeddings":[[0.1,...],[0.2,...]]}`: the mean over the tokens of the last hidden
    states, scaled to length 1, in the order of the texts.
`{"op":"memory"}` answers `{"rss_bytes":123456}`: what is resident now. It may come before load.
`{"op":"quit"}`, or the end of standard input, ends the process with code 0 and no answer.

What fails is answered with `{"error":"..."}`, a text that says why; the process may then end. An
engine that cannot run on this CPU says so to `load`, and the driver reports it as absent. What an
engine prepares once per model and machine may be kept in files (the peers keep optimised graphs);
the driver's first process of an engine is not measured for its start.

Beside the protocol, `mesh-bench peak` prints `{"f32":110.0,"bf16":220.0}` and ends: what one core
does at best in GFLOP/s of each precision, by CPU time; `i8` may be among them, and what the CPU
lacks is left out or null.

    encoder_worker.py ort --model model.ort --threads 1
    encoder_worker.py openvino --model model.onnx --precision bf16 --threads 1 --cache FOLDER
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable

Feed = dict[str, "numpy.ndarray"]


def feeds(batches: Iterable[list[list[int]]]) -> list[Feed]:
    """The inputs of the graph, padded to the longest text of each batch."""
    import numpy as np

    told = []
    for batch in batches:
        ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(batch):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        told.append({"input_ids": ids, "attention_mask": mask})
    return told


class Ort:
    """ONNX Runtime. With more than one thread, calls overlap, each on one thread."""

    def __init__(self, options: argparse.Namespace) -> None:
        import onnxruntime

        self.library = onnxruntime
        self.options = options

    def load(self) -> dict[str, str]:
        """Opens the graph, optimised beforehand and mapped, not copied."""
        settings = self.library.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        for option in ("use_memory_mapped_ort_model", "use_ort_model_bytes_for_initializers"):
            settings.add_session_config_entry(f"session.{option}", "1")
        self.session = self.library.InferenceSession(
            self.options.model, settings, providers=["CPUExecutionProvider"]
        )
        return {"precision": self.options.precision, "version": self.library.__version__}

    def encode(self, feed: Feed) -> "numpy.ndarray":
        """The embeddings of a batch."""
        return self.session.run(["embedding"], feed)[0]


class OpenVino:
    """OpenVINO. With more than one thread, a stream and a request per thread."""

    def __init__(self, options: argparse.Namespace) -> None:
        import openvino

        self.library = openvino
        self.options = options

    def load(self) -> dict[str, str]:
        """Reads and compiles the graph, or takes what was compiled before."""
        threads = str(self.options.threads)
        model = self.library.Core().compile_model(
            self.options.model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": self.options.precision,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": threads,
                "CACHE_DIR": self.options.cache,
            },
        )
        self.requests = [model.create_infer_request() for _ in range(self.options.threads)]
        if self.options.threads > 1:
            # Two first calls at once deadlock: one holds Python's lock and waits for what the
            # bindings set up once, the other sets it up and waits for Python's lock.
            for _ in self.requests[:]:
                self.encode(feeds([[[101, 102]]])[0])
        real = model.get_property("INFERENCE_PRECISION_HINT").to_string()
        return {"precision": real, "version": self.library.get_version()}

    def encode(self, feed: Feed) -> "numpy.ndarray":
        """The embeddings of a batch, valid until the request's next one."""
        request = self.requests.pop(0)
        answer = request.infer(feed, share_inputs=True, share_outputs=True)[0]
        self.requests.append(request)
        return answer


class Worker:
    """Answers commands with an engine."""

    def __init__(self, engine: type[Ort | OpenVino], options: argparse.Namespace) -> None:
        self.kind = engine
        self.options = options
        self.each: Callable = map
        if options.threads > 1:
            from concurrent.futures import ThreadPoolExecutor

            self.each = ThreadPoolExecutor(options.threads).map

    def timed(self, work: Callable[[], object]) -> dict[str, float]:
        """Wall and CPU seconds of some work."""
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

    def load(self, _: dict) -> dict:
        """Opens the model."""
        self.engine = self.kind(self.options)
        told: dict = {"padding": True}
        return self.timed(lambda: told.update(self.engine.load())) | told

    def run(self, command: dict) -> dict:
        """Encodes batches."""
        inputs = feeds(command["batches"])

        def work() -> None:
            for _ in self.each(self.engine.encode, inputs):
                pass

        return self.timed(work)

    def embed(self, command: dict) -> dict:
        """Encodes texts, each alone."""
        inputs = feeds([text] for text in command["texts"])
        return {"embeddings": [self.engine.encode(feed)[0].tolist() for feed in inputs]}

    def memory(self, _: dict) -> dict:
        """The resident memory."""
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return {"rss_bytes": pages * os.sysconf("SC_PAGE_SIZE")}

    def answer(self, line: str) -> dict:
        """The answer to a command."""
        command = json.loads(line)
        operations = {
            "load": self.load,
            "run": self.run,
            "embed": self.embed,
            "memory": self.memory,
        }
        try:
            return operations[command["op"]](command)
        except Exception as error:  # noqa: BLE001 - the driver is told, whatever it is
            return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answers line by line."""
    parser = argparse.ArgumentParser(description="One engine of the encoder benchmark")
    parser.add_argument("engine", choices=["ort", "openvino"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", default="")
    options = parser.parse_args()
    worker = Worker({"ort": Ort, "openvino": OpenVino}[options.engine], options)
    for line in iter(sys.stdin.readline, ""):
        if json.loads(line) == {"op": "quit"}:
            break
        print(json.dumps(worker.answer(line)), flush=True)


if __name__ == "__main__":
    main()
