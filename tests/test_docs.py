"""Files that the documents name are there."""

import re
from pathlib import Path

import pytest

from tests.harness import ROOT

DOCUMENTS = [
    *(ROOT / name for name in ("README.md.j2", "CONTRIBUTING.md", "params.yaml")),
    *sorted((ROOT / "docs").glob("*.md")),
]
NAME = re.compile(r"(?<![\w./*-])[\w./-]+\.(?:py|md|yaml|json|csv|html|sha256)(?![\w/])")
MADE = ("data/", "report/", "runs/")  # by stages, and not in git
FILES = {
    path.relative_to(ROOT).as_posix()
    for top in (".dvc/plots", "benchmarks", "docs", "metrics", "plots", "src", "tests", "tools")
    for path in (ROOT / top).rglob("*.*")
} | {path.name for path in ROOT.glob("*.*")}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_are_there(path: Path) -> None:
    """By their path, or by the end of it."""
    names = {name.removeprefix("../") for name in NAME.findall(path.read_text(encoding="utf-8"))}
    in_git = {name for name in names if not name.startswith(MADE)}
    gone = {name for name in in_git if not any(f"/{file}".endswith(f"/{name}") for file in FILES)}
    assert not gone


def anchors(page: Path) -> set[str]:
    """The names by which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in headings}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading of it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("https:", "http:")):
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not heading or heading in anchors(target), link
