"""Write README.md from README.md.j2: its results are numbers of metrics/, not of someone's hand.

    python tools/write_readme.py            (after a run that moved them; `make readme`)
    python tools/write_readme.py --check    (exits with 1 if README.md says something else)

In the template a metrics file is a variable of its name, `predict.gain_nats_per_dim`. The filter
`n(3)` gives three decimals, `percent` a share; `ci(predict, "gain_nats_per_dim", 3)` the interval.
Words around numbers are not checked: read what moved.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import jinja2

TEMPLATE, README = Path("README.md.j2"), Path("README.md")
METRICS = Path("metrics/detail")


def number(value: float, digits: int) -> str:
    """With a true minus sign, and no sign on zero."""
    text = f"{float(value):.{digits}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{digits}f}"


def percent(value: float, digits: int = 0) -> str:
    """Of a share."""
    return f"{number(100 * value, digits)} %"


def interval(metrics: dict[str, Any], key: str, digits: int, scale: float = 1) -> str:
    """The 95 % interval of a key, times `scale`: 100 for percents, −1 for what is told reversed."""
    ends = sorted(scale * metrics[f"{key}_ci_{end}"] for end in ("low", "high"))
    return f"[{', '.join(number(end, digits) for end in ends)}]"


def render(template: str, folder: Path) -> str:
    """The README.

    Args:
        template: its text with expressions.
        folder: of metrics files.

    Raises:
        jinja2.UndefinedError: naming a metric that is not there.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {"n": number, "percent": percent}
    environment.globals["ci"] = interval
    metrics = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    return environment.from_string(template).render(metrics)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    try:
        text = render(TEMPLATE.read_text(), METRICS)
    except (OSError, KeyError, jinja2.TemplateError) as error:
        sys.exit(f"write_readme: error: {error}; metrics are made by `dvc repro`")
    if not options.check:
        README.write_text(text)
    elif text != README.read_text():
        sys.exit("README.md: not what README.md.j2 and metrics/ say; run `make readme`")


if __name__ == "__main__":
    main()
