"""A large archive: Debian's package descriptions in many languages, fetched with apt-get."""

import re
import subprocess
from pathlib import Path

# Not `Description-md5`, which is a digest.
FIELD = re.compile(r"^Description-(?!md5:)[^:\n]*: (.*(?:\n .*)*)", re.MULTILINE)


def descriptions(folder: Path, languages: list[str], most: int | None = None) -> dict[str, list[str]]:
    """The descriptions of packages by language, each once; so many of each language at most."""
    found = {}
    for language, all_texts in all_descriptions(folder, languages).items():
        texts = list(dict.fromkeys(all_texts))
        every = max(1, len(texts) // most) if most else 1
        found[language] = texts[::every][:most]
    return found


def all_descriptions(folder: Path, languages: list[str]) -> dict[str, list[str]]:
    """The descriptions of packages by language, each on one line, as often as they are there."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    found: dict[str, list[str]] = {}
    for language in languages:
        files = translations(lists, language)
        if not files:
            fetch(lists, languages)
            files = translations(lists, language)
        found[language] = []
        for file in files:
            command = ["/usr/lib/apt/apt-helper", "cat-file", file]
            told = subprocess.run(command, check=True, capture_output=True).stdout.decode()
            found[language] += [
                " ".join(description.replace("\n .", "\n").split())
                for description in FIELD.findall(told)
            ]
    return found


def translations(lists: Path, language: str) -> list[Path]:
    """The files of a language."""
    quoted = language.replace("_", "%5f")
    files = sorted(lists.glob("*_main_i18n_Translation-*"))
    # `pt` is not `pt_BR`; what is compressed has an ending.
    named = re.compile(rf".*_i18n_Translation-{quoted}(\.\w+)?")
    return [file for file in files if named.fullmatch(file.name)]


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
