"""A large archive: Debian's package descriptions in many languages, fetched with apt-get."""

import re
import subprocess
from pathlib import Path

FIELD = re.compile(r"^Description-[^:\n]*: (.*(?:\n .*)*)", re.MULTILINE)


def descriptions(folder: Path, languages: list[str], most: int | None = None) -> dict[str, list[str]]:
    """The descriptions of packages by language, each on one line; so many of each at most."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    found: dict[str, list[str]] = {}
    for language in languages:
        files = translations(lists, language)
        if not files:
            fetch(lists, languages)
            files = translations(lists, language)
        texts: dict[str, None] = {}
        for file in files:
            command = ["/usr/lib/apt/apt-helper", "cat-file", file]
            told = subprocess.run(command, check=True, capture_output=True).stdout.decode()
            for description in FIELD.findall(told):
                texts[" ".join(description.replace("\n .", "\n").split())] = None
        every = max(1, len(texts) // most) if most else 1
        found[language] = list(texts)[::every][:most]
    return found


def translations(lists: Path, language: str) -> list[Path]:
    """The files of a language, without those of updates."""
    quoted = language.replace("_", "%5f")
    return sorted(lists.glob(f"*_main_i18n_Translation-{quoted}*"))


def fetch(lists: Path, languages: list[str]) -> None:
    """Fetches the lists into a folder of their own."""
    subprocess.run(
        [
            "apt-get",
            "update",
            "-o",
            f"Dir::State::lists={lists}",
            "-o",
            f"Acquire::Languages={','.join(languages)}",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
