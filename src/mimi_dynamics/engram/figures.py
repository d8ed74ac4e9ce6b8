"""Figure of what a memory adds, against every control and by how often its key was seen."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.figures import STYLE

SUBJECTS = {"raw": ("latents x", "#d98324"), "z_dyn": ("state z_dyn", "#1b6ca8")}
CONTROLS = {
    "help": "as many parameters\nspent on width",
    "help_over_iso_flop": "as much work\nspent on width",
    "help_over_none": "no memory",
    "help_over_gate_only": "the gate,\nnothing to look up",
    "help_over_shuffled_keys": "the same tables,\nkeys shuffled",
}
COUNTS = {"never": "never", "to3": "1 to 3 times", "to15": "4 to 15", "more": "16 or more"}


def engram_figure(table: pd.DataFrame) -> Figure:
    """Help with intervals; a colour for each subject.

    Args:
        table: rows of `subject`, `what` (`control` or `count`), `of`, `value`, `low`, `high`, and
            `share` of frames for counts.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.5, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _points(left, table[table["what"] == "control"], CONTROLS)
        left.set_ylabel("help of the memory, nats per frame")
        left.set_title("Does a memory help, and against what?", loc="left")
        left.legend(frameon=False, loc="lower right")
        counts = table[table["what"] == "count"]
        _points(right, counts, COUNTS)
        for number, name in enumerate(COUNTS):
            rows = counts[counts["of"] == name].set_index("subject")
            shares = [f"{100 * rows['share'][s]:.0f} %" for s in SUBJECTS if s in rows.index]
            at = (number, 0.02)
            transform = right.get_xaxis_transform()
            right.text(*at, " / ".join(shares), transform=transform, ha="center", fontsize=8)
        right.set_title("By how often train had the last three keys (of frames, %)", loc="left")
        right.set_ylabel("help over as many parameters, nats per frame")
    return figure


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
