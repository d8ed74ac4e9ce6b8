"""Files, links and headings that the documents name are there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT

PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Of docstrings, which are in library.md, some name what a study will make.
DOCUMENTS = [p for p in PAGES if p.name not in ("README.md", "CHANGELOG.md", "library.md")]
DOCUMENTS += [ROOT / "README.md.j2", ROOT / "params.yaml"]
NAME = re.compile(r"(?<![\w./*-])[\w./-]+\.(?:py|md|yaml|json|csv|html|sha256)(?![\w/])")
# By stages, tutorials or users, not in git.
MADE = ("data/", "dvc_plots/", "out/", "report/", "runs/", "store/", "/path/")
ON_GITHUB = "../../actions/"  # runs of CI, as seen from a page of the repository there
TOPS = (".dvc/plots", "benchmarks", "docs", "metrics", "plots", "results", "src", "tests", "tools")
FILES = {
    path.relative_to(ROOT).as_posix() for top in TOPS for path in (ROOT / top).rglob("*.*")
} | {path.name for path in ROOT.glob("*.*")}


def name_of(path: Path) -> str:
    """By which a document is known."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_files_that_are_named_are_there(path: Path) -> None:
    """By their path, or by the end of it."""
    found = NAME.findall(path.read_text(encoding="utf-8"))
    names = {re.sub(r"^(\.\./)+", "", name) for name in found}
    in_git = {name for name in names if not name.startswith(MADE)}
    gone = {name for name in in_git if not any(f"/{file}".endswith(f"/{name}") for file in FILES)}
    assert not gone


def without_code(text: str) -> str:
    """The page without its blocks of code, where a `#` begins a comment."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The names by which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in headings}


def lost_links(page: Path) -> list[str]:
    """Links of a page that lead to no file, or to no heading of it."""
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if link.startswith(("https:", "http:", ON_GITHUB)):
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (heading and heading not in anchors(target.read_text())):
            lost.append(link)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert not lost_links(page)


def test_lost_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading, here\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md#a-heading-here) [b](there.md#no-heading) [c](gone.md) [d](#gone) "
        "[e](https://example.org/gone)\n```\n[f](gone.md)\n```\n"
    )
    assert lost_links(page) == ["there.md#no-heading", "gone.md", "#gone"]


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/index.md"
    links = re.findall(r"\]\(([^)\s#]+)", index.read_text(encoding="utf-8"))
    linked = {(index.parent / link).resolve() for link in links}
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked


def test_every_page_is_on_the_site() -> None:
    """Or `make site` would fail."""
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = {ROOT / page for page in re.findall(r"(\S+\.md)$", site, re.MULTILINE)}
    assert listed == set(PAGES)


def keys_of_stages(page: str) -> Iterator[tuple[str, str]]:
    """The keys in the tables below the name of a stage, each with that name."""
    for section in page.split("\n## ")[1:]:
        stage, _, text = section.partition("\n")
        if (ROOT / f"metrics/detail/{stage}.json").exists():
            for cell in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE):
                yield from ((stage, key) for key in re.findall(r"`([^`]+)`", cell))


def paths(value: object, above: str = "") -> set[str]:
    """The dotted keys of a metrics file, those of its groups among them."""
    if not isinstance(value, dict):
        return set()
    at = {f"{above}{key}" for key in value}
    return at.union(*(paths(below, f"{above}{key}.") for key, below in value.items()))


def test_metrics_that_are_explained_are_there() -> None:
    """What stands in angle brackets stands for any name; a run may lack what it cannot measure."""
    absent = {("horizons", "half_life_below_ms"), ("codec_table", "not_todays")}
    named = set(keys_of_stages((ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")))
    assert len(named) > 100
    gone = set()
    for stage, key in named - absent:
        there = paths(json.loads((ROOT / f"metrics/detail/{stage}.json").read_text()))
        pattern = re.compile(re.sub(r"<\w+>", r"[\\w.-]+", key.replace(".", r"\.")))
        gone |= set() if any(map(pattern.fullmatch, there)) else {f"{stage}: {key}"}
    assert not gone


def test_the_table_of_the_readme_is_that_of_the_tutorial() -> None:
    """Whose output a slow test makes anew."""
    tutorial = (ROOT / "docs/tutorials/your_latents.md").read_text(encoding="utf-8").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [table] = re.findall(r"```text\n(nats per dimension .+?)```", readme, re.S)
    assert len(table.splitlines()) > 1
    assert set(table.splitlines()) <= set(tutorial)
