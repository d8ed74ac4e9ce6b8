"""The figure of the ranking study: which measure ranks latents as a generator does."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.pipeline.plotting import STYLE

OUTCOMES = {  # whose correlations are drawn, with a label and a colour
    "frechet": ("by the Fréchet distance of what is heard", "#1b6ca8"),
    "skill": ("by the skill 160 to 640 ms ahead", "#d98324"),
}
SHOWN = "dynamic_gain_nats_per_dim", "dynamic gain, nats per dimension"
APART = 0.16  # between the two correlations of a measure
LINE = 0.061  # of the list of sets, as a share of the height


def ranking_figure(ranks: pd.DataFrame, sets: pd.DataFrame) -> Figure:
    """Draw rank correlations with their intervals, and the dynamic gain of sets by what is heard.

    Args:
        ranks: see `studies.ranking.tables.ranks_table`.
        sets: see `studies.ranking.tables.sets_table`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.5, 5.0), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1))
        _correlations(left, ranks)
        _sets(right, sets)
        figure.suptitle("Which measure ranks latents as a generator does?", fontsize=12)
    return figure


def _correlations(axes: Axes, ranks: pd.DataFrame) -> None:
    best = ranks[ranks["outcome"] == next(iter(OUTCOMES))].sort_values("rho", na_position="first")
    places = {measure: place for place, measure in enumerate(best["measure"])}
    for number, (outcome, (label, colour)) in enumerate(OUTCOMES.items()):
        of = ranks[(ranks["outcome"] == outcome) & ranks["rho"].notna()]
        height = np.array([places[measure] for measure in of["measure"]]) + APART * (0.5 - number)
        axes.hlines(height, of["rho_low"], of["rho_high"], color=colour, lw=1.6)
        axes.plot(of["rho"], height, "o", color=colour, ms=6, label=label)
    axes.axvline(0, color="#222222", lw=0.8)
    axes.set_yticks(list(places.values()), best["label"])
    axes.set_xlim(-1, 1)
    axes.set_xlabel("rank correlation over sets, 95 % interval; 1 ranks as the generator does")
    axes.legend(loc="upper left", frameon=False, fontsize=9, bbox_to_anchor=(0, -0.14))


def _sets(axes: Axes, sets: pd.DataFrame) -> None:
    """Draw each set as a number, in the order of its distance, with a list of them beside."""
    column, label = SHOWN
    for place, (_, row) in enumerate(sets.sort_values("frechet").iterrows()):
        at, number = (row[column], row["frechet"]), f"{place + 1}"
        axes.plot(*at, "o", color=OUTCOMES["frechet"][1], ms=12, mec="white")
        axes.annotate(number, at, ha="center", va="center", color="white", fontsize=7.5)
        beside = (1.03, 1 - place * LINE)
        listed = f"{number}  {row['label']}"
        axes.annotate(listed, beside, xycoords="axes fraction", va="top", fontsize=8.5)
    axes.set_yscale("log")
    ticks = [tick for tick in (0.5, 1, 2, 4, 8) if tick < 1.5 * sets["frechet"].max()]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.set_ylabel("Fréchet distance of 0.96 s of log-mel; less is better")
    axes.margins(0.08, 0.1)
