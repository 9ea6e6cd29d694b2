"""The documentation names only what exists, and nobody brings back the words that the glossary replaced."""

import re
import subprocess
from pathlib import Path

import pytest
from data_sets import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
#: A path of the project in backquotes, such as `models/breach/` or `core/domain.py`.
CODE_PATH = re.compile(
    r"`((?:core|features|models|pipelines|serving|flows|tests|notebooks|deploy|docs)/[\w./{},-]*)`"
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
#: Words that the glossary replaced, as they would stand in an identifier.
REPLACED = (
    "trouble", "verdict", "judgement", "stopped_by", "knock_on", "hindsight", "spool", "shelf", "voices", "case_id",
)  # fmt: skip
#: Where a replaced word has to stay: the deprecated names of one release, and what older databases and bundles hold.
STILL_KNOWN = (
    "deprecated", "migrations/", "models/breach/fleet.py", "tests/", "flows/commands/", "serving/contract/requests.py",
)  # fmt: skip
MOST_COLUMNS = 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_link_of_a_page_exists(page: Path) -> None:
    text = page.read_text()
    for found in CODE_PATH.findall(text):
        for path in _expanded(found):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
    for target in LINK.findall(text):
        if not target.startswith(("http", "mailto:", "reference/", "../reference/")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_is_wrapped(page: Path) -> None:
    code = False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        code ^= line.lstrip().startswith("```")
        if not code and not line.startswith("|"):
            assert len(line) <= MOST_COLUMNS, f"{page.name}:{number} has {len(line)} columns"


def test_the_terms_of_the_glossary_are_unique_and_in_use() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", (ROOT / "docs" / "glossary.md").read_text(), re.M
    )
    terms = [term.strip() for term, _, _ in rows if term.strip() not in ("term", "---")]
    assert len(terms) > 50
    assert len(set(terms)) == len(terms)


def test_no_identifier_brings_back_a_replaced_word() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.sql", "*.js"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    word = re.compile("|".join(rf"(?<![a-z]){word}s?(?![a-z])" for word in REPLACED))
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in listed.stdout.split()
        if not any(part in name for part in STILL_KNOWN)
        for number, line in enumerate((ROOT / name).read_text().splitlines(), start=1)
        if word.search(line.lower())
    ]
    assert found == []


def _expanded(path: str) -> list[str]:
    """`serving/{http,state}/x.py` as two paths."""
    found = re.search(r"\{([^}]*)\}", path)
    if found is None:
        return [path]
    return [path[: found.start()] + part + path[found.end() :] for part in found.group(1).split(",")]
