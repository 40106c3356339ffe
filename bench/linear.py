"""Linear models beside scikit-learn's TfidfVectorizer and LogisticRegression.

Both get the same Parquet splits (made by our prepare step), the same n-grams of words, the same list
of C chosen by macro-F1 on the validation split, and one thread. On short texts ours takes n-grams of
characters too, by itself; scikit-learn gets them with `--same-features`. What is timed:

- training: ours is the whole program, `mesh run <project>:train --force --threads 1`, from its
  start to its end, evaluation and model card included; scikit-learn's is from reading the Parquet
  files to the choice of C, its imports and its evaluation left out;
- prediction: all texts of the test split, from text to answer. Ours gives probabilities of the
  compiled model, scikit-learn gives labels, which is less work.

Rounds take turns, and the medians are compared. On small test splits one document more or less
is half a percent, so quality is the mean over several splits (`--seeds`), with the mean of the
differences and its standard error.

    bench/venv.sh && bench/.venv/bin/python bench/linear.py [--only bbc] [--rounds 5]
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import json
import platform
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import mean, median, stdev

import pyarrow.parquet as parquet
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import FeatureUnion

from datasets import BENCHMARKS, Benchmark

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
WORKSPACE = BENCH / ".work"
MESH = ROOT / "target/release/mesh"
PREDICT = ROOT / "target/release/predict-linear"
SPLITS = ("train", "validation", "test")


def cpu() -> str:
    """The name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def mesh(*arguments: str) -> tuple[list, float]:
    """Runs our program; gives what it prints, and how long it took."""
    command = [MESH, "--json", "--quiet", "--workspace", WORKSPACE, *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"mesh {' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout), seconds


def artifacts(name: str) -> dict[str, Path]:
    """The folders of what a project's steps left."""
    told, _ = mesh("run", name, "--threads", "1")
    store = WORKSPACE / ".mesh/store/artifacts"
    return {step["step"]: store / step["output"] for step in told[0]["steps"]}


def read(dataset: Path, split: str) -> tuple[list[str], list[str]]:
    """The texts and labels of a split."""
    table = parquet.read_table(dataset / f"{split}.parquet", columns=["text", "label"])
    return table["text"].to_pylist(), table["label"].to_pylist()


class Sklearn:
    """What a user would pick instead, with the options of our model's card."""

    same_features = False

    def __init__(self, dataset: Path, options: dict) -> None:
        self.dataset = dataset
        self.options = options

    def train(self) -> float:
        """Reads, fits and chooses C; gives the seconds."""
        started = time.perf_counter()
        features = self.options["features"]
        assert features["hash_buckets"] == 0

        def vectorizer(ngrams: list[int], analyzer: str) -> TfidfVectorizer:
            return TfidfVectorizer(
                analyzer=analyzer,
                ngram_range=tuple(ngrams),
                min_df=features["min_documents"],
                max_df=features["max_document_share"],
                lowercase=features["lowercase"],
                sublinear_tf=features["sublinear_tf"],
            )

        self.vectorizer = vectorizer(features["word_ngrams"], "word")
        if Sklearn.same_features and features["char_ngrams"] != [0, 0]:
            chars = vectorizer(features["char_ngrams"], "char_wb")
            self.vectorizer = FeatureUnion([("words", self.vectorizer), ("characters", chars)])
        texts, labels = read(self.dataset, "train")
        validation, truth = read(self.dataset, "validation")
        rows = self.vectorizer.fit_transform(texts)
        validation = self.vectorizer.transform(validation)
        weight = {"none": None, "balanced": "balanced"}[self.options["class_weight"]]
        best = -1.0
        for c in sorted(self.options["c"]):
            model = LogisticRegression(C=c, max_iter=1000, class_weight=weight)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(rows, labels)
            score = f1_score(truth, model.predict(validation), average="macro")
            if score > best:
                best, self.model, self.c = score, model, c
        return time.perf_counter() - started

    def predict(self, texts: list[str]) -> tuple[list[str], float]:
        """Labels of texts, and the seconds."""
        started = time.perf_counter()
        labels = self.model.predict(self.vectorizer.transform(texts))
        return list(labels), time.perf_counter() - started


class Ours:
    """Our compiled model, in a process that waits for its turn."""

    def __init__(self, compiled: Path, dataset: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [PREDICT, compiled, dataset], stdin=pipe, stdout=pipe, text=True
        )

    def predict(self) -> tuple[list[str], float]:
        """Labels of the test split, and the seconds."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["labels"], answer["seconds"]

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def figures(truth: list[str], given: list[str]) -> dict[str, float]:
    """The headline metrics."""
    return {
        "accuracy": accuracy_score(truth, given),
        "macro_f1": f1_score(truth, given, average="macro"),
    }


def quality(benchmark: Benchmark) -> tuple[dict, dict]:
    """What ours and theirs reach on one split."""
    benchmark.write(WORKSPACE)
    folders = artifacts(benchmark.name)
    card = json.loads((folders["train"] / "card.json").read_text())
    theirs = Sklearn(folders["prepare"], card["options"])
    theirs.train()
    texts, truth = read(folders["prepare"], "test")
    ours = Ours(folders["compile"], folders["prepare"])
    our_labels, _ = ours.predict()
    ours.close()
    their_labels, _ = theirs.predict(texts)
    return figures(truth, our_labels), figures(truth, their_labels)


def summary(pairs: list[tuple[dict, dict]]) -> dict:
    """Means over splits, and the mean difference with its standard error."""
    told = {}
    for name in ("accuracy", "macro_f1"):
        differences = [ours[name] - theirs[name] for ours, theirs in pairs]
        error = stdev(differences) / len(pairs) ** 0.5 if len(pairs) > 1 else None
        told[name] = {
            "ours": mean(ours[name] for ours, _ in pairs),
            "scikit_learn": mean(theirs[name] for _, theirs in pairs),
            "difference": mean(differences),
            "standard_error": error,
        }
    return told


def measure(benchmark: Benchmark, seeds: list[int], train_rounds: int, rounds: int) -> dict:
    """One dataset: quality over splits, and medians of rounds that take turns."""
    folders = artifacts(benchmark.name)
    card = json.loads((folders["train"] / "card.json").read_text())
    theirs = Sklearn(folders["prepare"], card["options"])
    ours_train, theirs_train = [], []
    for _ in range(train_rounds):
        _, seconds = mesh("run", f"{benchmark.name}:train", "--force", "--threads", "1")
        ours_train.append(seconds)
        theirs_train.append(theirs.train())
    texts, truth = read(folders["prepare"], "test")
    ours = Ours(folders["compile"], folders["prepare"])
    ours_predict, theirs_predict = [], []
    for _ in range(rounds):
        our_labels, seconds = ours.predict()
        ours_predict.append(len(texts) / seconds)
        their_labels, seconds = theirs.predict(texts)
        theirs_predict.append(len(texts) / seconds)
    ours.close()
    pairs = [(figures(truth, our_labels), figures(truth, their_labels))]
    pairs += [quality(benchmark.with_seed(seed)) for seed in seeds]
    return {
        "dataset": benchmark.name,
        "title": benchmark.title,
        "rows": card["data"]["rows"],
        "splits": len(pairs),
        "quality": summary(pairs),
        "ours": {
            **pairs[0][0],
            "intervals": {name: card["metrics"][name] for name in ("accuracy", "macro_f1")},
            "c": card["chosen_c"],
            "train_seconds": median(ours_train),
            "texts_per_second": median(ours_predict),
        },
        "scikit_learn": {
            **pairs[0][1],
            "c": theirs.c,
            "train_seconds": median(theirs_train),
            "texts_per_second": median(theirs_predict),
        },
        "train_ratio": median(b / a for a, b in zip(ours_train, theirs_train)),
        "predict_ratio": median(a / b for a, b in zip(ours_predict, theirs_predict)),
    }


HEADER = [
    "| dataset | accuracy | scikit-learn | macro-F1 | scikit-learn | difference | train s "
    "| scikit-learn | ratio | texts/s | scikit-learn | ratio |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
]


def row(result: dict) -> str:
    """A line of the table."""
    ours, theirs, quality = result["ours"], result["scikit_learn"], result["quality"]
    macro_f1 = quality["macro_f1"]
    difference = f"{macro_f1['difference']:+.4f}"
    if macro_f1["standard_error"] is not None:
        difference += f" ± {macro_f1['standard_error']:.4f}"
    cells = [
        result["title"],
        *(f"{quality[name][of]:.4f}" for name in quality for of in ("ours", "scikit_learn")),
        difference,
        f"{ours['train_seconds']:.2f}",
        f"{theirs['train_seconds']:.2f}",
        f"{result['train_ratio']:.1f}",
        f"{ours['texts_per_second']:,.0f}",
        f"{theirs['texts_per_second']:,.0f}",
        f"{result['predict_ratio']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Builds, runs, prints."""
    parser = argparse.ArgumentParser(description="Linear models beside scikit-learn")
    parser.add_argument("--only", nargs="+", default=[b.name for b in BENCHMARKS])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of prediction")
    parser.add_argument("--train-rounds", type=int, default=3, help="rounds of training")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3, 4], help="more splits")
    parser.add_argument("--no-build", action="store_true", help="take the programs as they are")
    parser.add_argument("--output", type=Path, default=WORKSPACE / "linear.json")
    parser.add_argument(
        "--same-features", action="store_true", help="scikit-learn takes what ours took"
    )
    options = parser.parse_args()
    Sklearn.same_features = options.same_features
    if not options.no_build:
        packages = ["--package", "mlmesh", "--package", "mesh-bench"]
        subprocess.run(["cargo", "build", "--release", "--quiet", *packages], cwd=ROOT, check=True)
    WORKSPACE.mkdir(exist_ok=True)
    (WORKSPACE / "mesh.toml").write_text('[workspace]\nname = "bench"\nprojects = "projects"\n')
    for benchmark in BENCHMARKS:
        benchmark.write(WORKSPACE)
    print(*HEADER, sep="\n")
    results = []
    for benchmark in BENCHMARKS:
        if benchmark.name in options.only:
            results.append(measure(benchmark, options.seeds, options.train_rounds, options.rounds))
            print(row(results[-1]), flush=True)
    versions = {"python": platform.python_version(), "scikit-learn": sklearn.__version__}
    told = {"machine": cpu(), "versions": versions, "results": results}
    options.output.write_text(json.dumps(told, indent=2) + "\n")
    print(f"\nwritten to {options.output}")


if __name__ == "__main__":
    main()
