"""Draw what `growth.py` found: memory and time of every stage, by hours of latents.

    PYTHONPATH=src .venv/bin/python benchmarks/growth_figure.py

Reads the table of docs/reference/performance.md and writes docs/img/growth.png. `growth.py --write`
draws it too.
"""

import re
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from machine import PAGE
from mimi_dynamics.pipeline.plotting import STYLE, save_figure

PICTURE = Path("docs/img/growth.png")
TITLE = "From one hour to a hundred"
# Columns of the table, with what the picture calls them.
PANELS = {
    "memory, GiB": "most memory, GiB",
    "seconds": "reading and preparing, s",
    "a step, ms": "a step of training, ms",
    "scored, µs a frame": "scoring a frame, µs",
}
AIM_GIB = 16  # of every stage, docs/explanation/scale.md


def read_table(page: Path) -> pd.DataFrame:
    """Give the table of the section, a row for each stage and number of hours."""
    section = page.read_text(encoding="utf-8").split(f"## {TITLE}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    header, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    table = pd.DataFrame(rows, columns=header)
    table["stage"] = table["stage"].str.strip("`")
    numbers = table.columns.drop("stage")
    table[numbers] = table[numbers].map(first_number)
    return table.assign(seconds=table["read, s"] + table["prepared, s"].fillna(0))


def first_number(cell: str) -> float:
    """Give the number that a cell begins with, or NaN if it is empty."""
    found = re.match(r"[\d.]+", cell)
    return float(found[0]) if found else float("nan")


def growth_figure(table: pd.DataFrame) -> Figure:
    """Draw a panel for each of `PANELS`, with a line for every stage."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 6.4), layout="constrained")
        figure.suptitle(answer(table), x=0.01, ha="left")
        all_axes = figure.subplots(2, 2).flat
        for axes, (column, label) in zip(all_axes, PANELS.items(), strict=True):
            draw_panel(axes, table, column, label)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
        return figure


def answer(table: pd.DataFrame) -> str:
    """Say what the picture shows."""
    steps = table.pivot(index="hours", columns="stage", values="a step, ms")
    longer = (steps.iloc[-1] / steps.iloc[0]).max()
    return (
        f"{steps.index[0]:g} to {steps.index[-1]:g} hours: no stage holds more than "
        f"{table['memory, GiB'].max():.1f} GiB, and no step of training takes more than "
        f"{longer:.1f} times as long"
    )


def draw_panel(axes: Axes, table: pd.DataFrame, column: str, label: str) -> None:
    """Draw one column of the table by hours."""
    for number, (stage, rows) in enumerate(table.groupby("stage", sort=False)):
        axes.plot(rows["hours"], rows[column], f"C{number}o-", markersize=4, label=stage)
    axes.set_title(label, loc="left", fontsize=10)
    axes.set_xscale("log")
    axes.set_xticks(hours := sorted(table["hours"].unique()), [f"{hour:g} h" for hour in hours])
    axes.minorticks_off()
    if column == "seconds":
        axes.set_yscale("log")
        return
    axes.set_ylim(0, AIM_GIB * 1.1 if column == "memory, GiB" else None)
    if column == "memory, GiB":
        axes.axhline(AIM_GIB, color="#808080", linestyle="--", linewidth=1)
        axes.text(hours[0], AIM_GIB, "allowed", color="#606060", fontsize=9, va="bottom")


def draw() -> None:
    """Write the picture of the page's table."""
    save_figure(growth_figure(read_table(PAGE)), PICTURE)


if __name__ == "__main__":
    draw()
