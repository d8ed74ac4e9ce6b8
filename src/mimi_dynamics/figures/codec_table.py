"""The figure of the table by codec: what is predictable, and what of it the speech carries."""

import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.pipeline.conventions import CODEC_ROWS, READ
from mimi_dynamics.pipeline.plotting import STYLE

MEASURES = {
    "gain": ("gain", "#b9cfe0"),
    "dynamic": ("dynamic: beyond shuffled frames", "#1b6ca8"),
    "spliced": ("dynamic, of spliced speech: the encoder's overlap", "#d98324"),
    "speech_borne": ("speech-borne: on a target that shares no audio", "#4b9b69"),
}
SPLITS = {
    "test": "held-out recordings",
    "test_voice": "a held-out voice",
}
THRESHOLD = 0.05  # nats per dimension; bet 1 asks for more
WIDTH = 0.2  # of a bar; codecs are 1 apart
LABEL = 14  # characters in a line of what a row is called


def codec_table_figure(table: pd.DataFrame) -> Figure:
    """Draw the gains of every codec side by side, for every split.

    Args:
        table: a line for each gain, with the columns `row`, `split`, `what`, `value`, `low`,
            `high`, in nats per dimension.
    """
    of_split = {split: table[table["split"] == split] for split in SPLITS}
    # Not all corpora have a held-out voice.
    rows = {split: list(dict.fromkeys(of["row"])) for split, of in of_split.items() if len(of)}
    most = max([len(of) for of in rows.values()], default=1)
    with mpl.rc_context(STYLE):
        size = (max(7.0, 1.5 * most), 1.2 + 2.1 * max(1, len(rows)))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(max(1, len(rows)), 1, sharey=True, squeeze=False)[:, 0]
        for axes, split in zip(panels, rows, strict=False):
            _bars(axes, of_split[split], rows[split])
            axes.set_title(SPLITS[split], loc="left", fontsize=11)
            axes.set_xlim(-0.6, most - 0.4)  # the same rows below each other
        figure.supylabel("one frame ahead, nats per dimension", fontsize=10)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9
        )
        figure.suptitle(finding(table), fontsize=12)
    return figure


def finding(table: pd.DataFrame) -> str:
    """Say of how many codecs the latents are surely predictable on test, and by speech itself.

    Rows of a second corpus are left out.

    Args:
        table: as `codec_table_figure` takes it.
    """
    test = table[(table["split"] == "test") & ~table["row"].str.startswith(READ)]
    if test.empty:
        return "No row of this run's codec and clips"
    surely = test[test["low"] >= THRESHOLD].groupby("what")["row"].agg(set)
    predictable = surely.get("dynamic", set())
    carried = predictable & surely.get("speech_borne", set())
    return (
        f"The next latent is predictable in {len(predictable)} of {test['row'].nunique()} "
        f"representations; in {len(carried)} of them the speech itself carries it"
    )


def _bars(axes: Axes, table: pd.DataFrame, rows: list[str]) -> None:
    """Draw the gains of one split; what a codec does not have leaves its place empty."""
    places = np.arange(len(rows))
    for number, (what, (label, colour)) in enumerate(MEASURES.items()):
        of = table[table["what"] == what].set_index("row").reindex(rows)
        at = places + (number - (len(MEASURES) - 1) / 2) * WIDTH
        axes.bar(at, of["value"], 0.92 * WIDTH, color=colour, label=label)
        axes.vlines(at, of["low"], of["high"], color="#222222", lw=1.2)
        for place, value, high in zip(at, of["value"], of["high"], strict=True):
            if np.isfinite(value):
                axes.annotate(
                    f"{round(value, 2) + 0.0:.2f}",  # no sign for what rounds to zero
                    (place, max(high, 0)),
                    (0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
    axes.axhline(0, color="#222222", lw=0.8)
    asked = f"{THRESHOLD:g}: what bet 1 asks of dynamic and speech-borne gain"
    axes.axhline(THRESHOLD, color="#b03030", lw=1.1, ls="--", label=asked)
    axes.set_xticks(places, [textwrap.fill(CODEC_ROWS.get(row, row), LABEL) for row in rows])
