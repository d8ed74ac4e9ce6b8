"""The figure of what is saved on codes: bits of each codebook, by all that they are scored by."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mimi_dynamics.pipeline.plotting import STYLE

SCORED_BY = {  # words and a colour for each, from what knows least to what knows most
    "nominal": ("nominal", "#222222"),
    "frequencies": ("how frequent each code is", "#8a8a8a"),
    "within_frame": ("earlier codes of the frame, too", "#d98324"),
    "shuffled": ("and all frames before, shuffled", "#5b9279"),
    "given_past": ("and all frames before", "#1b6ca8"),
}


def codes_figure(table: pd.DataFrame) -> Figure:
    """Draw the bits of a code against its codebook, a line for each thing they are scored by.

    Args:
        table: rows of `codebook`, `scored_by`, `bits`, `bits_ci_low` and `bits_ci_high`; none if
            the codec has no codes.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 4.6), layout="constrained")
        axes = figure.subplots()
        axes.set_title("What a code costs, by what is known before it", loc="left")
        if table.empty:
            axes.text(0.5, 0.5, "this codec has no codes", ha="center", transform=axes.transAxes)
            return figure
        for name, (label, colour) in SCORED_BY.items():
            rows = table[table["scored_by"] == name]
            low, high = rows["bits_ci_low"], rows["bits_ci_high"]
            axes.fill_between(rows["codebook"], low, high, color=colour, alpha=0.2, lw=0)
            style = {"ls": "--"} if name == "nominal" else {"marker": "o", "ms": 4}
            axes.plot(rows["codebook"], rows["bits"], color=colour, label=label, **style)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("codebook, in the order in which a frame is quantised")
        axes.set_ylabel("bits per code, test split")
        axes.legend(frameon=False, loc="lower right")
    return figure
