"""The tagger of the project `ner`: entity F1 on the test split of CoNLL-2003, and words per second.

Runs the project's stale steps, then tags the test split on one thread: from words to tags with
scores, medians of nine rounds.

    bench/venv.sh && bench/.venv/bin/python bench/ner.py
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
MESH = ROOT / "target/release/mesh"
TAG = ROOT / "target/release/tag-words"


def mesh(*arguments: str):
    """Runs our program; gives what it prints."""
    command = [MESH, "--json", "--quiet", "--workspace", ROOT, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"mesh {' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def main() -> None:
    steps = {step["step"]: step for step in mesh("run", "ner")[0]["steps"]}
    store = ROOT / ".mesh/store/artifacts"
    folders = [store / steps[step]["output"] for step in ("compile", "prepare")]
    told = subprocess.run([TAG, *folders], check=True, capture_output=True, text=True).stdout
    told = json.loads(told)
    card = json.loads((store / steps["train"]["output"] / "card.json").read_text())
    metrics = card["metrics"]
    f1 = metrics["f1"]
    print("| model | F1 | interval | names seen | words/s, one thread |")
    print("|---|---|---|---|---|")
    print(
        f"| {card['model']} | {f1['value']:.4f} | {f1['low']:.4f} to {f1['high']:.4f} "
        f"| {metrics['baseline']['f1']:.4f} | {median(told['words_per_second']):,.0f} |"
    )
    for row in card["families"]:
        print(
            f"\n{row['model']}, fitted on the training split alone: validation "
            f"{row['validation_f1']:.4f}, test {row['test_f1']:.4f}"
        )


if __name__ == "__main__":
    main()
