"""A peer of the backfill benchmark: pandas and ONNX Runtime, in batches, on two threads.

Texts are sorted by length, so that little of a batch is padding; a batch has at most `--tokens`
tokens, padding among them, and each thread encodes one. With `--head` the answer is what a linear
head makes of the embeddings, by windows of whole sentences, as the project `sentiment` has it;
else it is the embedding.

    backfill_onnx.py --archive some.parquet --graph fused-i8.ort --tokenizer tokenizer.json
        --tokens 512 --output FOLDER [--runs 1] [--head FOLDER]

What is printed is told in `backfill_peers.py`.
"""

import argparse
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from safetensors.numpy import load_file
from tokenizers import Tokenizer

THREADS = 2
MAX_TOKENS = 256
WINDOW_WORDS = 60
SENTENCE = re.compile(r""".+?(?:[.!?…]["')”]*(?=\s)|$)""")


class Encoder:
    """A quantised sentence encoder."""

    def __init__(self, graph: str, tokenizer: str, tokens: int) -> None:
        self.tokens = tokens
        self.tokenizer = Tokenizer.from_file(tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)
        settings = onnxruntime.SessionOptions()
        # A thread for each of two calls is faster than two threads for each call.
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            graph, settings, providers=["CPUExecutionProvider"]
        )

    def batches(self, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """The rows of each batch, the longest texts first."""
        order = np.argsort(-lengths, kind="stable")
        at = 0
        while at < len(order):
            size = max(1, self.tokens // int(lengths[order[at]]))
            yield order[at : at + size]
            at += size

    def encode(self, texts: list[str]) -> np.ndarray:
        """The embedding of each text."""
        texts = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        lengths = np.array([len(ids) for ids in texts])

        def call(rows: np.ndarray) -> np.ndarray:
            ids = np.zeros((len(rows), lengths[rows[0]]), np.int64)
            for row, at in zip(ids, rows):
                row[: lengths[at]] = texts[at]
            mask = (np.arange(ids.shape[1]) < lengths[rows, None]).astype(np.int64)
            return self.session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]

        batches = list(self.batches(lengths))
        with ThreadPoolExecutor(THREADS) as pool:
            answers = np.concatenate(list(pool.map(call, batches)))
        embeddings = np.empty_like(answers)
        embeddings[np.concatenate(batches)] = answers
        return embeddings


class Head:
    """A linear head on windows of documents."""

    def __init__(self, folder: Path) -> None:
        told = json.loads((folder / "head.json").read_text())
        self.labels, self.temperature = np.array(told["labels"]), told["temperature"]
        weights = load_file(folder / "head.safetensors")
        self.weight, self.bias = weights["weight"], weights["bias"]

    def answers(self, encoder: Encoder, texts: pd.Series) -> pd.DataFrame:
        """The label of each document, and the probability of each label."""
        parts = texts.map(windows).explode()
        embeddings = encoder.encode(parts.map(" ".join).tolist())
        logits = (embeddings @ self.weight.T + self.bias) / self.temperature
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        # A window weighs as much as it has words.
        words = parts.map(len).to_numpy()
        sums = pd.DataFrame(shares * words[:, None], parts.index).groupby(level=0).sum()
        scores = sums.div(sums.sum(axis=1), axis=0)
        scores.columns = self.labels
        scores.insert(0, "label", self.labels[scores.to_numpy().argmax(axis=1)])
        return scores


def windows(text: str) -> list[list[str]]:
    """The words of runs of whole sentences, up to sixty; a longer sentence is cut."""
    runs: list[list[str]] = [[]]
    for sentence in SENTENCE.findall(text):
        words = sentence.split()
        if runs[-1] and len(runs[-1]) + len(words) > WINDOW_WORDS:
            runs.append([])
        runs[-1] += words
    return [run[at : at + WINDOW_WORDS] for run in runs for at in range(0, len(run), WINDOW_WORDS)]


def run(encoder: Encoder, head: Head | None, archive: str, output: Path) -> None:
    """Reads, answers, writes."""
    documents = pd.read_parquet(archive, columns=["id", "text"])
    if head:
        answers = head.answers(encoder, documents["text"])
    else:
        answers = pd.DataFrame({"embedding": list(encoder.encode(documents["text"].tolist()))})
    answers.insert(0, "id", documents["id"])
    output.mkdir()
    answers.to_parquet(output / "part.parquet")


def main() -> None:
    """Runs, and says how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--archive", "--graph", "--tokenizer"):
        parser.add_argument(name, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--head", type=Path)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    encoder = Encoder(options.graph, options.tokenizer, options.tokens)
    head = Head(options.head) if options.head else None
    for at in range(options.runs):
        started = time.monotonic()
        run(encoder, head, options.archive, options.output / str(at))
        done = time.monotonic()
        print(json.dumps({"done": done, "work_s": done - started}), flush=True)


if __name__ == "__main__":
    main()
