"""The figure of gain against quality: does a codec that sounds better leave more to predict?"""

import textwrap

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from mimi_dynamics.pipeline.conventions import CODEC_ROWS
from mimi_dynamics.pipeline.plotting import STYLE

LABEL = 15  # characters in a line of what a codec is called
MEASURES = {
    "dynamic": ("dynamic: beyond shuffled frames", "#1b6ca8"),
    "speech_borne": ("speech-borne: on a target that shares no audio", "#4b9b69"),
}
TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10)  # nepers
ROOM = 1.25  # beside the outermost codecs, for their names
FAINT = "#999999"  # lines from names to points
LEVEL_POINTS = 36  # between two of these heights
LEVELS = 4  # of names above the axes: codecs that are close have theirs at different heights


def codec_quality_figure(table: pd.DataFrame) -> Figure:
    """Draw the gains of codecs over their log-mel error, which falls to the right.

    A line joins mimi-mini from before its training to its end; other codecs stand alone.

    Args:
        table: see `studies.codec_row.table.quality_table`. It may be empty.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 6.0), layout="constrained")
        axes = figure.subplots()
        for what, (label, colour) in MEASURES.items():
            _points(axes, table[table[what].notna()], what, label, colour)
        _names(axes, table)
        axes.axhline(0, color="#222222", lw=0.8)
        axes.set_xscale("log")
        if len(table):
            axes.set_xlim(table["log_mel"].max() * ROOM, table["log_mel"].min() / ROOM)
        low, high = sorted(axes.get_xlim())
        axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("log-mel error of decoded speech, nepers; better to the right")
        axes.set_ylabel("one frame ahead, nats per dimension")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9
        )
        figure.suptitle("What is left to predict as a codec gets better?", fontsize=12)
    return figure


def _points(axes: Axes, table: pd.DataFrame, what: str, label: str, colour: str) -> None:
    """Draw one gain of all codecs, those of the training joined in its order."""
    training = table[table["legs"].notna()].sort_values("legs")
    axes.plot(training["log_mel"], training[what], color=colour, lw=1.4)
    axes.vlines(
        table["log_mel"], table[f"{what}_ci_low"], table[f"{what}_ci_high"], color=colour, lw=1.2
    )
    for of, marker in ((training, "o"), (table[table["legs"].isna()], "D")):
        axes.plot(of["log_mel"], of[what], ls="", marker=marker, color=colour, ms=6)
    axes.plot([], [], "o-", color=colour, label=label)


def _names(axes: Axes, table: pd.DataFrame) -> None:
    """Write above the axes what each codec is, and how many words are wrong after it."""
    above = axes.get_xaxis_transform()
    for place, (_, row) in enumerate(table.sort_values("log_mel").iterrows()):
        level = place % LEVELS
        axes.axvline(row["log_mel"], ls=":", color=FAINT, lw=0.8, zorder=0)
        axes.annotate(
            label_of(row),
            (row["log_mel"], 1),
            xycoords=above,
            xytext=(0, 4 + LEVEL_POINTS * level),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            zorder=10 - level,  # over the lines of higher ones
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            arrowprops={"arrowstyle": "-", "ls": ":", "color": FAINT, "lw": 0.8, "shrinkB": 0},
        )


def label_of(row: pd.Series) -> str:
    """Say which codec a row of the table is, and the share of words wrong, if it is known."""
    name = textwrap.fill(CODEC_ROWS.get(row["row"], row["row"]), LABEL)
    if pd.isna(row["word_error_rate"]):
        return name
    return f"{name}\n{100 * row['word_error_rate']:.0f} % of words wrong"
