"""A peer of the backfill benchmark: Apache Beam's RunInference, in two processes.

Elements are documents, as Beam's own examples have it, in large batches; or with `--tables` the row
groups of the archive, read, answered and written by the column. Either is one stage, so that no
document goes through the runner. A scikit-learn pipeline answers.

    backfill_beam.py --archive all.parquet --model topics.joblib --output FOLDER [--runs 1]
        [--tables]

What is printed is told in `backfill_peers.py`.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence

import apache_beam as beam
import joblib
import pyarrow as pa
from apache_beam import io
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from sklearn.pipeline import Pipeline


class Topics(ModelHandler[dict, dict, Pipeline]):
    """Answers documents: the likeliest label, and the probability of each."""

    def __init__(self, model: str) -> None:
        super().__init__(min_batch_size=1_000, max_batch_size=5_000)
        self.model = model

    def load_model(self) -> Pipeline:
        """Once in each process."""
        return joblib.load(self.model)

    def run_inference(
        self, batch: Sequence[dict], model: Pipeline, inference_args: dict | None = None
    ) -> Iterable[dict]:
        """The answers to a batch."""
        scores = model.predict_proba([document["text"] for document in batch])
        labels = model.classes_[scores.argmax(axis=1)].tolist()
        for document, label, row in zip(batch, labels, scores.tolist()):
            yield {"id": document["id"], "label": label, **dict(zip(model.classes_, row))}


class TableTopics(ModelHandler[pa.Table, pa.Table, Pipeline]):
    """Answers tables of documents, each of which is a batch already."""

    def __init__(self, model: str) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self.model = model

    def load_model(self) -> Pipeline:
        """Once in each process."""
        return joblib.load(self.model)

    def run_inference(
        self, batch: Sequence[pa.Table], model: Pipeline, inference_args: dict | None = None
    ) -> Iterable[pa.Table]:
        """The answers to each table."""
        for table in batch:
            scores = model.predict_proba(table["text"].to_pylist())
            columns = {
                "id": table["id"],
                "label": pa.array(model.classes_[scores.argmax(axis=1)]),
                **{name: pa.array(scores[:, at]) for at, name in enumerate(model.classes_)},
            }
            yield pa.table(columns)


def run(archive: str, model: str, output: str, tables: bool) -> None:
    """Reads, answers, writes."""
    options = PipelineOptions(
        [],
        runner="DirectRunner",
        direct_num_workers=2,
        direct_running_mode="multi_processing",
        default_sdk_harness_log_level="ERROR",
    )
    labels = joblib.load(model).classes_
    schema = pa.schema(
        [("id", pa.string()), ("label", pa.string()), *((name, pa.float64()) for name in labels)]
    )
    if tables:
        read, write, topics = io.ReadFromParquetBatched, io.WriteToParquetBatched, TableTopics
    else:
        read, write, topics = io.ReadFromParquet, io.WriteToParquet, Topics
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | read(archive, columns=["id", "text"])
            | RunInference(topics(model))
            | write(f"{output}/part", schema, file_name_suffix=".parquet")
        )


def main() -> None:
    """Runs, and says how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--archive", "--model", "--output"):
        parser.add_argument(name, required=True)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--tables", action="store_true")
    options = parser.parse_args()
    for at in range(options.runs):
        started = time.monotonic()
        run(options.archive, options.model, f"{options.output}/{at}", options.tables)
        done = time.monotonic()
        print(json.dumps({"done": done, "work_s": done - started}), flush=True)


if __name__ == "__main__":
    main()
