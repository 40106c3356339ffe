"""Linear text classifiers beside scikit-learn's TF-IDF + logistic regression.

Both get the same splits (prepared by mesh), the same n-grams, the same values of C, chosen by
macro-F1 on the validation split, and one thread. Times are end to end: from the Parquet files to
a chosen model that was measured on the test split.

usage: linear.py [--only NAME] [--rounds N] [--json FILE]
"""

import argparse
import json
import statistics
import time

from common import Workspace, bbc, machine, manifest, orange, vader

import pyarrow.parquet as parquet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

C = [1.0, 10.0, 100.0]
SETS = {"bbc": bbc(), "20newsgroups": orange("20newsgroups"), "reuters-r8": orange("reuters-r8")}
for short, file in [
    ("movies", "movieReviewSnippets"),
    ("products", "amazonReviewSnippets"),
    ("editorials", "nytEditorialSnippets"),
    ("tweets", "tweets"),
]:
    for classes in (2, 3):
        SETS[f"{short}-{classes}"] = vader(file, classes)


def read(folder, split):
    table = parquet.read_table(folder / f"{split}.parquet", columns=["text", "label"])
    return table["text"].to_pylist(), table["label"].to_pylist()


def sklearn(folder):
    """scikit-learn's pipeline: figures, seconds, and the chosen model."""
    started = time.perf_counter()
    train, validation, test = (read(folder, split) for split in ("train", "validation", "test"))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    features = vectorizer.fit_transform(train[0])
    checked = vectorizer.transform(validation[0])
    best = None
    for c in C:
        model = LogisticRegression(C=c, max_iter=1000).fit(features, train[1])
        score = f1_score(validation[1], model.predict(checked), average="macro")
        if best is None or score > best[0]:
            best = (score, model)
    pipeline = make_pipeline(vectorizer, best[1])
    given = pipeline.predict(test[0])
    seconds = time.perf_counter() - started
    figures = {
        "accuracy": accuracy_score(test[1], given),
        "macro_f1": f1_score(test[1], given, average="macro"),
        "seconds": seconds,
    }
    return figures, pipeline, test[0]


def texts_per_second(pipeline, texts):
    rates = []
    for _ in range(3):
        started = time.perf_counter()
        pipeline.predict_proba(texts)
        rates.append(len(texts) / (time.perf_counter() - started))
    return statistics.median(rates)


def measure(workspace, name, rounds):
    ours, theirs = [], []
    for _ in range(rounds):
        steps = workspace.run(name, "--force")
        dataset = workspace.artifact(steps["prepare"]["output"])
        ours.append(steps)
        theirs.append(sklearn(dataset))
    last, (figures, pipeline, texts) = ours[-1], theirs[-1]
    seconds = statistics.median(steps["train"]["seconds"] for steps in ours)
    their_seconds = statistics.median(result[0]["seconds"] for result in theirs)
    rate = statistics.median(steps["compile"]["report"]["compiled"] for steps in ours)
    their_rate = texts_per_second(pipeline, texts)
    metrics = last["train"]["summary"]["metrics"]
    return {
        "set": name,
        "test": len(texts),
        "accuracy": metrics["accuracy"]["value"],
        "accuracy_interval": [metrics["accuracy"]["low"], metrics["accuracy"]["high"]],
        "sklearn_accuracy": figures["accuracy"],
        "macro_f1": metrics["macro_f1"]["value"],
        "macro_f1_interval": [metrics["macro_f1"]["low"], metrics["macro_f1"]["high"]],
        "sklearn_macro_f1": figures["macro_f1"],
        "train_seconds": seconds,
        "sklearn_train_seconds": their_seconds,
        "train_ratio": their_seconds / seconds,
        "texts_per_second": rate,
        "sklearn_texts_per_second": their_rate,
        "predict_ratio": rate / their_rate,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json")
    options = parser.parse_args()
    workspace = Workspace()
    train = f"[train.linear]\nc = {C}\n"
    results = []
    print("set            test  accuracy        macro-F1        training s          texts/s")
    print("                     ours   sklearn  ours   sklearn  ours  sklearn ratio ours  sklearn ratio")
    for name, source in SETS.items():
        if options.only and options.only != name:
            continue
        workspace.add(name, manifest(name, source, train))
        r = measure(workspace, name, options.rounds)
        results.append(r)
        print(
            f"{name:14} {r['test']:4}  {r['accuracy']:.4f} {r['sklearn_accuracy']:.4f}   "
            f"{r['macro_f1']:.4f} {r['sklearn_macro_f1']:.4f}   "
            f"{r['train_seconds']:5.2f} {r['sklearn_train_seconds']:6.2f} {r['train_ratio']:5.1f} "
            f"{r['texts_per_second']:7.0f} {r['sklearn_texts_per_second']:6.0f} {r['predict_ratio']:5.1f}",
            flush=True,
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": machine(), "results": results}, file, indent=2)


main()
