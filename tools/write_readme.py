"""Write pages from their templates: their results are numbers of metrics/, not of someone's hand.

README.md is such a page, and so is every page of docs/ beside which is a template of its name with
`.j2` at the end.

    python tools/write_readme.py            (after a run that moved them; `make readme`)
    python tools/write_readme.py --check    (exits with 1 if a page says something else)

In the template a metrics file is a variable of its name, and numbers are written as on the page:
`mimi_dynamics.report.prose` has the filters. References to the code are the functions of
`reference.py`. Words around numbers are not checked: read what moved.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import jinja2

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # no PYTHONPATH to remember

import reference
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import DETAIL_FOLDER, read_metrics
from mimi_dynamics.report.prose import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
PAGES = tuple(
    path.relative_to(ROOT).with_suffix("")
    for path in [ROOT / "README.md.j2", *sorted((ROOT / "docs").rglob("*.md.j2"))]
)


def template_of(page: Path) -> Path:
    """Give the path of the template of a page."""
    return page.with_name(f"{page.name}.j2")


def render(template: str, folder: Path) -> str:
    """Give the text of a page.

    Args:
        template: its text with expressions.
        folder: of metrics files.

    Raises:
        InputError: a metrics file cannot be read, or an interval is not in it.
        jinja2.UndefinedError: naming a metric that is not there.
    """
    metrics = {path.stem: read_metrics(path) for path in folder.glob("*.json")}
    headline = partial(reference.headline_table, metrics)
    made = ENVIRONMENT.from_string(template, globals=reference.TEXTS | {"headline": headline})
    return made.render(metrics)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    for page in PAGES:
        try:
            text = render(template_of(page).read_text(), DETAIL_FOLDER)
        except (OSError, InputError, jinja2.TemplateError) as error:
            sys.exit(f"write_readme: error: {page}: {error}; metrics are made by `dvc repro`")
        if not options.check:
            page.write_text(text)
        elif text != page.read_text():
            sys.exit(f"{page}: not what its template and metrics/ say; run `make readme`")


if __name__ == "__main__":
    main()
