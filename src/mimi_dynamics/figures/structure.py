"""The figure of `structure`: how much past and capacity it takes, and where the gain lies."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.figures.gains import ROW_COLOURS
from mimi_dynamics.pipeline.plotting import STYLE

FRAME_MEANINGS = {
    "voiced": "frames\nof speech",
    "silent": "frames\nof silence",
    "loudness_only": "only the course\nof loudness kept",
    "beyond_loudness": "all frames,\nbeyond that",
}


def structure_figure(table: pd.DataFrame) -> Figure:
    """Draw four panels: context, width, components and kinds of frames.

    Args:
        table: rows of `what`, `of` and either `gain_nats_per_dim` or `gain_nats` with their
            intervals; also `log_mel_effect` for components, if
            there is a decoder.
    """
    groups = dict(iter(table.groupby("what", sort=False)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 7.4), layout="constrained")
        (past, capacity), (components, frames) = figure.subplots(2, 2)
        labels = [of.lstrip("c0") if of != "all" else of for of in groups["context"]["of"]]
        _curve(past, groups["context"], labels, "frames of past the predictor sees")
        past.set_title("How much past it takes", fontsize=12, loc="left")
        labels = [of.lstrip("w0") for of in groups["width"]["of"]]
        _curve(capacity, groups["width"], labels, "hidden units")
        capacity.set_title("How much capacity it takes", fontsize=12, loc="left")
        _components(components, groups["component"])
        _frames(frames, groups["frames"])
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, labels: list[str], name: str) -> None:
    place, gain = range(len(rows)), rows["gain_nats_per_dim"]
    low, high = rows["gain_nats_per_dim_ci_low"], rows["gain_nats_per_dim_ci_high"]
    axes.fill_between(place, low, high, color=ROW_COLOURS["real"], alpha=0.25)
    axes.plot(place, gain, color=ROW_COLOURS["real"], marker="o", ms=4)
    axes.set_xticks(place, labels)
    axes.set_xlabel(name)
    axes.set_ylabel("gain, nats per dimension")
    axes.set_ylim(bottom=min(0, low.min()))


def _components(axes: Axes, rows: pd.DataFrame) -> None:
    place, gain = range(1, len(rows) + 1), rows["gain_nats"]
    errors = [gain - rows["gain_nats_ci_low"], rows["gain_nats_ci_high"] - gain]
    axes.bar(place, gain, yerr=errors, color=ROW_COLOURS["real"], error_kw={"lw": 1})
    axes.set_xlabel("principal component, by variance")
    axes.set_ylabel("gain, nats", color=ROW_COLOURS["real"])
    if "log_mel_effect" not in rows:
        axes.set_title("Where it lives", fontsize=12, loc="left")
        return
    effect = axes.twinx()
    colour = ROW_COLOURS["shuffled"]
    effect.plot(place, rows["log_mel_effect"], color=colour, marker="o", ms=4)
    effect.set_ylim(bottom=0)
    effect.set_ylabel("what shuffling it does to the sound,\nlog-mel distance", color=colour)
    axes.set_title("Where it lives, and what the ear hears of it", fontsize=12, loc="left")


def _frames(axes: Axes, rows: pd.DataFrame) -> None:
    place, gain = range(len(rows)), rows["gain_nats_per_dim"]
    low, high = rows["gain_nats_per_dim_ci_low"], rows["gain_nats_per_dim_ci_high"]
    axes.bar(place, gain, yerr=[gain - low, high - gain], color=ROW_COLOURS["real"], width=0.6)
    for x, value, top in zip(place, gain, high, strict=True):
        axes.annotate(
            f"{value:.3f}", (x, max(top, 0)), (0, 3), textcoords="offset points", ha="center"
        )
    axes.set_xticks(place, [FRAME_MEANINGS[of] for of in rows["of"]], fontsize=9)
    axes.set_ylabel("gain, nats per dimension")
    axes.set_title("Not only speech against silence", fontsize=12, loc="left")
