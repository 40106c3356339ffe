"""Languages beside fastText's own program.

The model is lid.176.ftz for both, the texts are Debian's package descriptions in many languages
(fetched once with apt-get, some hundred of each language). Both answer all texts with their one
best language, on one thread, in rounds that take turns; the medians are compared, and every
answer.

    bench/venv.sh && bench/.venv/bin/python bench/language.py [--rounds 9]
"""

import argparse
import json
import subprocess
import sys
import time
from itertools import zip_longest
from statistics import median

import fasttext

from archive import descriptions
from linear import MESH, ROOT, WORKSPACE, artifacts, cpu

PROGRAM = ROOT / "target/release/language-id"
LANGUAGES = "cs da de en es fi fr it ja ko nl pl pt_BR ru sk sv uk zh_CN".split()
EACH = 600


def texts() -> list[str]:
    """So many texts of each language, in turns; of some there are fewer."""
    by_language = descriptions(WORKSPACE / "archive", LANGUAGES, EACH)
    columns = [by_language[language] for language in LANGUAGES]
    return [text for row in zip_longest(*columns) for text in row if text is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()

    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "mesh-bench"], check=True)
    if not (WORKSPACE / "mesh.toml").exists():
        subprocess.run([MESH, "init", WORKSPACE], check=True, stdout=subprocess.DEVNULL)
    project = WORKSPACE / "projects/language"
    project.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "projects/language").iterdir():
        (project / file.name).write_bytes(file.read_bytes())
    compiled = artifacts("language")["compile"]
    sources = sorted((WORKSPACE / ".mesh").rglob("lid.176.ftz"))
    if not sources:
        sys.exit("the fetched lid.176.ftz is not in the workspace's cache")
    asked = texts()
    path = WORKSPACE / "language-texts.txt"
    path.write_text("\n".join(asked) + "\n")

    reference = fasttext.load_model(str(sources[0]))
    pipe = subprocess.PIPE
    ours = subprocess.Popen([PROGRAM, compiled, path], stdin=pipe, stdout=pipe, text=True)
    seconds: dict[str, list[float]] = {"mesh": [], "fasttext": []}
    for _ in range(options.rounds + 1):
        ours.stdin.write("\n")
        ours.stdin.flush()
        told = json.loads(ours.stdout.readline())
        seconds["mesh"].append(told["seconds"])
        started = time.perf_counter()
        theirs = [reference.predict(text, 1) for text in asked]
        seconds["fasttext"].append(time.perf_counter() - started)
    ours.stdin.close()
    ours.wait()
    # The first round warms up.
    mine, other = (len(asked) / median(seconds[name][1:]) for name in ("mesh", "fasttext"))
    names = [labels[0].removeprefix("__label__") for labels, _ in theirs]
    same = sum(a == b for a, b in zip(told["languages"], names, strict=True))
    print(f"{cpu()}; {len(asked)} texts in {len(LANGUAGES)} languages, {options.rounds} rounds")
    print(f"| | texts/s | ratio | same answer |\n|---|---|---|---|")
    print(f"| fasttext-predict | {other:,.0f} | 1 | |")
    print(f"| mesh | {mine:,.0f} | {mine / other:.1f} | {same} of {len(asked)} |")


if __name__ == "__main__":
    main()
