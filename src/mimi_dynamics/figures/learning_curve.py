"""The figure of gains by amount of training data."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from mimi_dynamics.figures.gains import ROW_COLOURS
from mimi_dynamics.pipeline.plotting import STYLE

CURVES = {
    "gain_nats_per_dim": ("#7a3b9a", "gain"),
    "dynamic_gain_nats_per_dim": (ROW_COLOURS["real"], "dynamic gain: beyond shuffled frames"),
}


def learning_curve_figure(table: pd.DataFrame) -> Figure:
    """Draw the gains with a quarter, a half and all of train, with their intervals.

    Args:
        table: one row for each part, with `train_frames`, `gain_nats_per_dim` and
            `dynamic_gain_nats_per_dim`, the latter two also with `_low` and `_high`.
    """
    frames = table["train_frames"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.5, 4.2), layout="constrained")
        axes = figure.subplots()
        for name, (colour, label) in CURVES.items():
            axes.fill_between(
                frames, table[f"{name}_low"], table[f"{name}_high"], color=colour, alpha=0.2, lw=0
            )
            axes.plot(frames, table[name], color=colour, marker="o", ms=5, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(frames, [f"{count:,}" for count in frames])
        axes.minorticks_off()
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.set_xlabel("frames of train that were targets")
        axes.set_ylabel("nats per dimension")
        axes.set_title("What more speech to learn from adds", fontsize=12, loc="left")
        axes.legend(frameon=False, loc="lower right")
    return figure
