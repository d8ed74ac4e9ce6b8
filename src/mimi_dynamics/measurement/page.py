"""A measurement as one HTML file, with its picture in it."""

import base64
import io
import json
from collections.abc import Mapping
from html import escape
from typing import Any

from matplotlib.figure import Figure

from mimi_dynamics.measurement.table import (
    VISIBLE,
    control_rows,
    first_lines,
    gain_rows,
    trust_lines,
)
from mimi_dynamics.report.formatting import cell
from mimi_dynamics.report.metrics_file import measured

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
img { max-width: 100%; height: auto; background: white; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.3rem 1rem 0.3rem 0; border-bottom: 1px solid #8886; }
pre { overflow-x: auto; font-size: 0.85rem; }
"""


def page_of(of: Mapping[str, Any], figure: Figure) -> str:
    """Write the page.

    Args:
        of: what `Measurement.to_dict` gives.
        figure: its picture.
    """
    k, nearest = next(iter(of["horizons"].items()))
    gain = cell(measured(nearest, "dynamic_gain_nats_per_dim"))
    ahead = f"{k} frame{'' if k == '1' else 's'} ahead"
    title = f"{ahead.capitalize()}, the order of past frames is worth {gain} nats per dimension"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in first_lines(of)),
        f'<img alt="{escape(title)}" src="data:image/png;base64,{picture(figure)}">',
        "<h2>Gains by lead</h2>",
        table(*gain_rows(of)),
        "<p>Gain: what the past tells, in nats per dimension on test clips, with 95 % intervals. "
        "Shuffled: the same of frames shuffled within their clips. Dynamic gain: the former beyond "
        f"the latter. {escape(VISIBLE.capitalize())}.</p>",
        "<h2>How far to trust it</h2>",
        *(f"<p>{escape(line)}</p>" for line in trust_lines(of)),
        "<h2>Known answers of the same size, by the same settings</h2>",
        table(["process", "true", "found", "recovered"], control_rows(of)),
        *(["<h2>What was done to the latents</h2>"] if of["notes"] else []),
        *(f"<p>{escape(note)}</p>" for note in of["notes"]),
        "<details><summary>All numbers</summary><pre>"
        f"{escape(json.dumps(of, indent=2, sort_keys=True))}</pre></details>",
    ]
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    content = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{content}\n</body></html>\n'
    )


def picture(figure: Figure) -> str:
    """Give a figure as PNG in base 64, without date or version."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130, metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()


def table(header: list[str], rows: list[list[str]]) -> str:
    """Write a table that can be moved sideways where the screen is narrow."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(of)}</td>' for of in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{lines}</table></div>'
