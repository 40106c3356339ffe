"""Signatures per second beside datasketch and rensa, on one thread.

128 permutations, shingles of five words, texts from Debian's package descriptions in 16 languages.
Ours are bit by bit those of datasketch's scheme `legacy`, which is the only one before version 2;
each of them is compared. rensa's have hashes of its own. All take turns; the medians are compared,
from texts to signatures and from shingles (for ours, words) that are there already.

    bench/venv.sh && bench/.venv/bin/python bench/lsh.py [--rounds 5]
"""

import argparse
import json
import os
import re
import subprocess
import time
from statistics import median

# Before rensa asks.
os.environ["RAYON_NUM_THREADS"] = "1"

import numpy
from datasketch import MinHash
from rensa import CMinHash, RMinHash

from archive import descriptions
from dedup import LANGUAGES
from linear import ROOT, WORKSPACE, cpu

PROGRAM = ROOT / "target/release/sign-texts"
SHINGLE, PERMUTATIONS, EACH = 5, 128, 320


def texts() -> list[str]:
    """So many texts of each language, as the service `lsh` reads them, with enough words."""
    found = descriptions(WORKSPACE / "archive", LANGUAGES, EACH)
    plain = (
        " ".join(re.sub(r"[^\w\s]", "", text.lower()).split())
        for texts in found.values()
        for text in texts
    )
    return [text for text in plain if text.count(" ") >= SHINGLE - 1]


def shingles(text: str) -> list[str]:
    """Its runs of words."""
    words = text.split(" ")
    return [" ".join(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)]


def encoded(text: str) -> list[bytes]:
    """The same, as datasketch takes them."""
    return [shingle.encode() for shingle in shingles(text)]


def datasketch(scheme: str):
    """How datasketch makes many signatures."""
    return lambda sets: MinHash.bulk(sets, num_perm=PERMUTATIONS, scheme=scheme)


LIBRARIES = {
    "datasketch, legacy": (encoded, datasketch("legacy")),
    "datasketch, affine32": (encoded, datasketch("affine32")),
    "rensa RMinHash": (
        shingles,
        lambda sets: RMinHash.digest_matrix_from_token_sets(sets, PERMUTATIONS, 1),
    ),
    "rensa CMinHash": (
        shingles,
        lambda sets: CMinHash.digests_from_token_sets(sets, PERMUTATIONS, 1),
    ),
    "rensa RMinHash, rho": (
        shingles,
        lambda sets: RMinHash.digest_matrix_from_token_sets_rho(sets, PERMUTATIONS, 1),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    asked = texts()
    path, signatures = WORKSPACE / "lsh-texts.txt", WORKSPACE / "lsh-signatures.bin"
    path.write_text("\n".join(asked) + "\n")
    pipe = subprocess.PIPE
    command = [PROGRAM, path, str(SHINGLE), str(PERMUTATIONS), signatures]
    ours = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    prepared = {name: [prepare(text) for text in asked] for name, (prepare, _) in LIBRARIES.items()}
    seconds = {name: ([], []) for name in ["mesh", *LIBRARIES]}
    for _ in range(options.rounds + 1):
        ours.stdin.write("\n")
        ours.stdin.flush()
        told = json.loads(ours.stdout.readline())
        seconds["mesh"][0].append(told["seconds"])
        seconds["mesh"][1].append(told["from_words"])
        for name, (prepare, sign) in LIBRARIES.items():
            started = time.perf_counter()
            sign([prepare(text) for text in asked])
            seconds[name][0].append(time.perf_counter() - started)
            started = time.perf_counter()
            sign(prepared[name])
            seconds[name][1].append(time.perf_counter() - started)
    ours.stdin.close()
    ours.wait()

    mine = numpy.fromfile(signatures, dtype="<u4").reshape(len(asked), PERMUTATIONS)
    theirs = datasketch("legacy")(prepared["datasketch, legacy"])
    same = sum((row == other.hashvalues).all() for row, other in zip(mine, theirs, strict=True))
    sets = sum(map(len, prepared["datasketch, legacy"])) / len(asked)
    print(f"{cpu()}; {len(asked):,} texts, {sets:.0f} shingles in the mean, {options.rounds} rounds")
    print(f"signatures that are datasketch's bit by bit: {same:,} of {len(asked):,}")
    print("| | signatures/s from texts | ratio | from shingles | ratio |\n|---|---|---|---|---|")
    # The first round warms up.
    rates = {
        name: [len(asked) / median(some[1:]) for some in both] for name, both in seconds.items()
    }
    first = rates["datasketch, legacy"]
    for name, (whole, part) in sorted(rates.items(), key=lambda rate: rate[1][0]):
        print(f"| {name} | {whole:,.0f} | {whole / first[0]:.1f} | {part:,.0f} | {part / first[1]:.1f} |")


if __name__ == "__main__":
    main()
