"""A peer of the backfill benchmark: a pandas UDF of Spark, in two tasks at once.

The session stays open for more than one run, so that the second one is of a warm session. A
scikit-learn pipeline answers.

    backfill_spark.py --archive all.parquet --model topics.joblib --output FOLDER [--runs 2]

What is printed is told in `backfill_peers.py`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator

import joblib
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import pandas_udf
from sklearn.pipeline import Pipeline

BATCH = 2_000
# A task is a row group or so: enough to do for both until the end, without a shuffle.
TASK_BYTES = 4 << 20


def session(folder: str) -> SparkSession:
    """A session on two cores, without its page."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": "4g",
        "spark.local.dir": folder,
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.files.maxPartitionBytes": TASK_BYTES,
        "spark.sql.execution.arrow.maxRecordsPerBatch": BATCH,
    }
    builder = SparkSession.builder.master("local[2]").appName("backfill")
    spark = builder.config(map=settings).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def enriched(documents: DataFrame, model: Pipeline) -> DataFrame:
    """The likeliest label of each document, and the probability of each label."""
    # A process of Python keeps what was broadcast for all its tasks.
    shared = documents.sparkSession.sparkContext.broadcast(model)
    kinds = ", ".join(["label string", *(f"{label} double" for label in model.classes_)])

    @pandas_udf(f"struct<{kinds}>")
    def topics(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        loaded = shared.value
        for texts in batches:
            scores = loaded.predict_proba(texts)
            told = pd.DataFrame(scores, columns=loaded.classes_)
            told.insert(0, "label", loaded.classes_[scores.argmax(axis=1)])
            yield told

    return documents.select("id", topics("text").alias("told")).select("id", "told.*")


def run(spark: SparkSession, archive: str, model: str, output: str) -> None:
    """Reads, answers, writes."""
    documents = spark.read.parquet(archive).select("id", "text")
    enriched(documents, joblib.load(model)).write.parquet(output)


def main() -> None:
    """Runs, and says how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--archive", "--model", "--output"):
        parser.add_argument(name, required=True)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    spark = session(options.output)
    for at in range(options.runs):
        started = time.monotonic()
        run(spark, options.archive, options.model, f"{options.output}/{at}")
        done = time.monotonic()
        print(json.dumps({"done": done, "work_s": done - started}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
