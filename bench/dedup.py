"""`mesh dedup` on a large archive: seconds, memory, and whether what it finds is all and true.

The archive is Debian's package descriptions in 16 languages, copies included. Every pair that is
found is compared with an exact join of all texts that is made by other means (exact_pairs.py).

    bench/venv.sh && bench/.venv/bin/python bench/dedup.py [--rounds 3]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

from archive import all_descriptions
from exact_pairs import pairs
from linear import MESH, WORKSPACE, cpu

LANGUAGES = "cs da de en es fr it ja ko pl pt pt_BR ru sk uk zh_CN".split()
THRESHOLD, SHINGLE = 0.8, 5


def run(*arguments) -> tuple[dict, float, float]:
    """What our program tells, its seconds, and the megabytes it held at most."""
    command = [MESH, "dedup", *map(str, arguments), "--json"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        sys.exit("mesh dedup failed")
    return json.loads(told), seconds, usage.ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    folder = WORKSPACE / "archive"
    folder.mkdir(parents=True, exist_ok=True)
    by_language = all_descriptions(folder, LANGUAGES)
    rows = [(language, text) for language, texts in by_language.items() for text in texts]
    archive = WORKSPACE / "descriptions.jsonl"
    with archive.open("w") as file:
        for language, text in rows:
            file.write(json.dumps({"language": language, "text": text}, ensure_ascii=False) + "\n")
    found, output = WORKSPACE / "pairs.jsonl", WORKSPACE / "deduplicated.jsonl"
    given = ["--threshold", THRESHOLD, "--shingle", SHINGLE, "--threads", 2]
    rounds = [
        run(archive, *given, "--pairs", found, "--output", output) for _ in range(options.rounds)
    ]
    told = rounds[0][0]
    size = archive.stat().st_size / 1e6
    print(f"{cpu()}; {len(rows):,} descriptions in {len(LANGUAGES)} languages, {size:.0f} MB")
    print(json.dumps({name: told[name] for name in ("rows", "exact_duplicates", "near_duplicates",
          "remaining", "pairs", "groups", "crowded")}))

    lines = [json.loads(line) for line in found.open()]
    ours = {(line["first"], line["second"]): line["similarity"] for line in lines if not line["exact"]}
    # Of copies, the first stands for all.
    firsts: dict[str, int] = {}
    for row, (_, text) in enumerate(rows):
        firsts.setdefault(text, row)
    places = list(firsts.values())
    joined = pairs(list(firsts), THRESHOLD, SHINGLE)
    truth = {(places[a], places[b]): similarity for (a, b), similarity in joined.items()}
    true = [pair for pair in ours if pair in truth]
    off = max((abs(ours[pair] - truth[pair]) for pair in true), default=0)
    near = [pair for pair, similarity in truth.items() if similarity < THRESHOLD + 0.05]
    print("| seconds | peak MB | pairs | precision | recall | recall from 0.80 to 0.85 |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {median(r[1] for r in rounds):.2f} | {max(r[2] for r in rounds):.0f} | {len(ours):,} of "
        f"{len(truth):,} | {len(true) / max(1, len(ours)):.5f} | {len(true) / max(1, len(truth)):.5f} "
        f"| {sum(pair in ours for pair in near) / max(1, len(near)):.5f} of {len(near):,} |"
    )
    print(f"largest difference of a similarity: {off:.2g}")
    wrong = [pair for pair in ours if pair not in truth]
    for first, second in wrong[:5]:
        print(f"not so: {ours[first, second]}\n  {rows[first][1][:200]}\n  {rows[second][1][:200]}")


if __name__ == "__main__":
    main()
