"""The figure of what a memory adds: by control, by count of its key, and by kind of passage."""

from collections.abc import Callable, Iterable

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.pipeline.plotting import STYLE

SUBJECTS = {"raw": ("latents x", "#d98324"), "z_dyn": ("state z_dyn", "#1b6ca8")}
CONTROLS = {
    "help": "as many parameters\nspent on width",
    "help_over_iso_flop": "as much work\nspent on width",
    "help_over_none": "no memory",
    "help_over_one_row": "the same tables,\none row of each",
    "help_over_shuffled_keys": "the same tables,\nkeys shuffled",
}
COUNTS = {"never": "never", "to3": "1 to 3 times", "to15": "4 to 15", "more": "16 or more"}
PASSAGES = {"nearest": "nearest\nquarter", "near": "near", "far": "far", "farthest": "farthest"}


def engram_figure(table: pd.DataFrame) -> Figure:
    """Draw the help of the memory with intervals, in one colour for each subject.

    Args:
        table: measurements, with the columns `subject`, `what` (`control`, `count` or `passage`),
            `of`, `value`, `low`, `high`; also `share` of frames for counts, and `distance` for
            passages.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(15.5, 4.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])
        _points(left, table[table["what"] == "control"], CONTROLS)
        left.set_ylabel("help of the memory, nats per frame")
        left.set_title("Does a memory help, and against what?", loc="left")
        left.legend(frameon=False, loc="lower right")
        counts, passages = (table[table["what"] == what] for what in ("count", "passage"))
        _points(middle, counts, COUNTS)
        _label(middle, counts, COUNTS, "share", lambda share: f"{100 * share:.0f} %")
        middle.set_title("By how often train had the last three keys", loc="left")
        middle.set_ylabel("help over as many parameters, nats per frame")
        _points(right, passages, PASSAGES)
        _label(right, passages, PASSAGES, "distance", lambda distance: f"{distance:.2f}")
        right.set_title("By how nearly train has the passage", loc="left")
        right.set_xlabel("median distance: 0 = said again, 1 = unrelated", fontsize=8.5)
        middle.set_xlabel("share of frames", fontsize=8.5)
    return figure


def _label(
    axes: Axes,
    table: pd.DataFrame,
    labels: Iterable[str],
    column: str,
    words: Callable[[float], str],
) -> None:
    """Write a column's value at each place, above the axis, as one subject / the other."""
    for number, name in enumerate(labels):
        rows = table[table["of"] == name].set_index("subject")
        told = " / ".join(words(rows[column][s]) for s in SUBJECTS if s in rows.index)
        where = axes.get_xaxis_transform()
        axes.text(number, 0.02, told, transform=where, ha="center", fontsize=8)


def _points(axes: Axes, table: pd.DataFrame, labels: dict[str, str]) -> None:
    names = list(labels)
    axes.axhline(0, color="#222222", lw=0.8)
    for number, (subject, (label, colour)) in enumerate(SUBJECTS.items()):
        rows = table[table["subject"] == subject].set_index("of").reindex(names)
        place = np.arange(len(names)) + 0.16 * (2 * number - 1)
        axes.errorbar(
            place,
            rows["value"],
            yerr=[rows["value"] - rows["low"], rows["high"] - rows["value"]],
            fmt="o",
            color=colour,
            ms=6,
            lw=1.6,
            label=label,
        )
    axes.set_xticks(range(len(names)), list(labels.values()), fontsize=8.5)
    axes.margins(y=0.15)
