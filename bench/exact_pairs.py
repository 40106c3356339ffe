"""All pairs of texts at or above a Jaccard similarity, exactly, and with nothing of ours.

Words come from the package `regex`, which knows Unicode's word boundaries. Sets of shingles are
joined as in "Scaling up all pairs similarity search" (Bayardo, Ma and Srikant, 2007): two sets that
are alike have one of their rarest elements in common.
"""

from collections import defaultdict
from functools import lru_cache
from math import ceil

import numpy
import regex

BOUNDARY = regex.compile(r"\b", regex.VERSION1 | regex.WORD)
WORD = regex.compile(r"[\p{Alphabetic}\p{N}]")


def words(text: str) -> list[str]:
    """The words of a text by Unicode's rules, without case."""
    pieces = (piece for piece in BOUNDARY.split(text) if WORD.search(piece))
    return ["".join(c.lower() for c in piece) for piece in pieces]


def shingles(text: str, count: int) -> numpy.ndarray:
    """Hashes of the runs of so many words, each once."""
    of = words(text)
    if not of:
        return numpy.zeros(0, numpy.int64)
    count = min(count, len(of))
    runs = {hash(tuple(of[at : at + count])) for at in range(len(of) - count + 1)}
    return numpy.fromiter(runs, numpy.int64, len(runs))


def pairs(texts: list[str], threshold: float, count: int) -> dict[tuple[int, int], float]:
    """The similarity of each pair of texts that reaches the threshold."""
    sets = [shingles(text, count) for text in texts]
    sizes = numpy.array([len(one) for one in sets])
    # Elements are numbered by how often they come, so the rarest of a set are its least.
    _, places, often = numpy.unique(
        numpy.concatenate(sets), return_inverse=True, return_counts=True
    )
    rank = numpy.empty(len(often), numpy.int64)
    rank[numpy.argsort(often, kind="stable")] = numpy.arange(len(often))
    alone = int((often == 1).sum())
    ends = numpy.cumsum(sizes)
    sets = [numpy.sort(part) for part in numpy.split(rank[places], ends[:-1])]

    @lru_cache(1 << 16)
    def as_set(document: int) -> frozenset[int]:
        return frozenset(sets[document].tolist())

    found = {}
    holders: dict[int, list[int]] = defaultdict(list)
    for document in numpy.argsort(sizes, kind="stable").tolist():
        size = len(sets[document])
        if size == 0:
            continue
        prefix = sets[document][: size - ceil(threshold * size - 1e-9) + 1].tolist()
        candidates = set()
        for element in prefix:
            # What nothing else holds leads nowhere.
            if element >= alone:
                candidates.update(holders[element])
                holders[element].append(document)
        for other in candidates:
            if len(sets[other]) < threshold * size - 1e-9:
                continue
            both = len(as_set(document) & as_set(other))
            similarity = both / (size + len(sets[other]) - both)
            if similarity >= threshold:
                found[min(document, other), max(document, other)] = similarity
    return found
