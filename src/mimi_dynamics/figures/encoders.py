"""The figure of what an encoder puts into latents: trained, untrained, and log-mel without one."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.pipeline.conventions import FRAME_MS
from mimi_dynamics.pipeline.plotting import STYLE

SOURCES = {
    "trained": ("the codec's latents", "#1b6ca8"),
    "untrained": ("an untrained encoder's", "#9a9a9a"),
    "log_mel": ("log-mel frames", "#d98324"),
}


def encoder_figure(table: pd.DataFrame) -> Figure:
    """Draw gains, correlation by lag, and variance by number of components for each source.

    Args:
        table: measurements, with the columns `source`, `what`, `at`, `value`, `low`, `high`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 4.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _gains(left, table[table["what"] == "dynamic_gain_nats_per_dim"])
        _curves(middle, table[table["what"] == "autocorrelation"], FRAME_MS)
        middle.set_xlabel("ms between the two frames")
        middle.set_ylabel("size of the correlation of a component")
        middle.set_title("How alike are frames some time apart?", loc="left")
        _curves(right, table[table["what"] == "variance_kept"], 1)
        right.set_xlabel("leading principal components")
        right.set_ylabel("share of the variance of voiced frames")
        right.set_ylim(0, 1.02)
        right.set_title("In how many directions do they vary?", loc="left")
        right.legend(frameon=False, loc="lower right")
    return figure


def _gains(axes: Axes, rows: pd.DataFrame) -> None:
    of = rows.set_index("source").loc[list(SOURCES)]
    colours = [colour for _, colour in SOURCES.values()]
    places = range(len(SOURCES))
    axes.bar(places, of["value"], 0.65, color=colours)
    axes.vlines(places, of["low"], of["high"], color="#222222", lw=1.2)
    for place, value, high in zip(places, of["value"], of["high"], strict=True):
        axes.annotate(
            f"{value:.2f}", (place, high), (0, 4), textcoords="offset points", ha="center"
        )
    axes.set_xticks(places, ["\n".join(label.rsplit(" ", 1)) for label, _ in SOURCES.values()])
    axes.set_ylabel("gain beyond shuffled frames, nats per dimension")
    axes.set_title("How well is the next frame known?", loc="left")


def _curves(axes: Axes, rows: pd.DataFrame, unit: float) -> None:
    for source, (label, colour) in SOURCES.items():
        of = rows[rows["source"] == source]
        axes.plot(unit * of["at"], of["value"], color=colour, marker="o", ms=4, label=label)
    ticks = [unit * at for at in sorted(rows["at"].unique())]
    axes.axhline(0, color="#222222", lw=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
