"""Lay out the pages of the site in build/pages, where `mkdocs.yml` looks for them.

    python tools/site_pages.py && mkdocs build --strict        (`make site`)

Pages and whatever they link to keep the paths that they have in the repository. Only links to
GitHub's own pages, such as the badge of CI, are left out.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "build/pages"
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")
STYLE = "docs/site.css"
LINK = re.compile(r"\]\(([^)\s#]+)")
ON_GITHUB = re.compile(r"\[!\[[^\]]*\]\(\.\./\.\./[^)]*\)\]\([^)]*\) ?")  # a picture that is a link


def pages() -> list[Path]:
    """List the pages of the site."""
    return [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]


def linked(page: Path, text: str) -> Iterator[Path]:
    """Yield the files of the repository that a page links to."""
    for link in LINK.findall(text):
        target = (page.parent / link).resolve()
        if "://" not in link and target.is_file():
            yield target


def main() -> None:
    """Run the command."""
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.joinpath("docs").mkdir(parents=True)
    shutil.copy(ROOT / STYLE, TARGET / STYLE)
    for page in pages():
        text = ON_GITHUB.sub("", page.read_text(encoding="utf-8"))
        copy = TARGET / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        for target in linked(page, text):
            if target.suffix != ".md":
                (TARGET / target.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(target, TARGET / target.relative_to(ROOT))


if __name__ == "__main__":
    main()
