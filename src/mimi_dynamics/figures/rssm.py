"""The figure of `rssm`: ease against fidelity, and how the KL budgets were met."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.frontier import frontier
from mimi_dynamics.pipeline.plotting import STYLE

STATE, RIVAL, RAW = "#1b6ca8", "#9a9a9a", "#d98324"
RIVAL_LABELS = {
    "raw": "raw x",
    "pca": "PCA",
    "average_2": "average of 2 frames",
    "slow": "slow features",
    "slow_average_2": "slow features,\naverage of 2",
    "slow_average_4": "slow features,\naverage of 4",
    "vae": "VAE",
}
BELOW = ("vae", "pca")  # labels that go below their points, where they do not cover others
TITLE = "Is there a state that is easier to predict than x, at what it keeps of x?"
SHUFFLED_LABEL = "of that, on shuffled frames: what the encoder alone makes easy"


def rssm_figure(points: pd.DataFrame, course: pd.DataFrame) -> Figure:
    """Draw the frontier on the left, and KL and multiplier by training step on the right.

    Args:
        points: the table `metrics.frontier_table`.
        course: the table `metrics.course_table`.
    """
    with mpl.rc_context(STYLE):
        dims = points["state_dim"].unique()
        figure = Figure(figsize=(5 + 7 * len(dims), 5.6), layout="constrained")
        figure.suptitle(TITLE, fontsize=12)
        widths = [3 * len(dims), 2]
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=widths)[0]
        panels = left.subplots(1, len(dims), sharey=True, squeeze=False)[0]
        for axes, dim in zip(panels, dims, strict=True):
            _frontier(axes, points[points["state_dim"] == dim])
            axes.set_ylim(0, 1.45 * points["ease"].max())  # room for the legend
        top, bottom = right.subplots(2, 1, sharex=True)
        _course(top, course, "kl_over_budget", "KL / budget")
        top.axhline(1, color="#222222", lw=0.8, ls=":")
        top.set_title("Innovation held to its budget", loc="left", fontsize=10)
        top.legend(frameon=False, fontsize=8, title="nats per frame", title_fontsize=8)
        _course(bottom, course, "multiplier", "multiplier β")
        bottom.set_xlabel("training step")
    return figure


def _frontier(axes: Axes, points: pd.DataFrame) -> None:
    rivals, states = (points[points["kind"] == kind] for kind in ("rival", "state"))
    dim = points["state_dim"].iloc[0]
    _envelope(axes, rivals, f"as easy as rivals get, at {dim} dimensions")
    for _, row in rivals.iterrows():
        raw = row["candidate"] == "raw"
        _mark(axes, row, RAW if raw else RIVAL, "s", RIVAL_LABELS[row["candidate"]])
    texts = []
    for _, row in states.iterrows():
        budget = row["candidate"].removeprefix("budget").replace("p", ".")
        note = ", collapsed" if row["collapsed"] else ", chosen" if row["chosen"] else ""
        _mark(axes, row, STATE, "X" if row["collapsed"] else "o", "")
        texts.append((row["ease"], row["fidelity"], f"{budget} nats{note}"))
    _column(axes, texts, 0.035 * points["ease"].max())
    axes.plot([], [], "o", color=STATE, label="learned state z_dyn, by budget of z_rec")
    if points["collapsed"].any():
        axes.plot([], [], "X", color=STATE, label="the same, collapsed")
    known = points[points["shuffled_ease"].notna()]
    axes.plot(known["fidelity"], known["shuffled_ease"], "_", color="#222222", ms=14, mew=2)
    axes.plot([], [], "_", color="#222222", ms=10, mew=2, label=SHUFFLED_LABEL)
    axes.set_xlim(0, 1.1)
    axes.set_xlabel("fidelity: R² of x read from it")
    axes.set_ylabel("ease: gain over the gain if all but the noise floor were known")
    axes.legend(frameon=False, loc="upper left", fontsize=9)


def _column(axes: Axes, texts: list[tuple[float, float, str]], apart: float) -> None:
    """Write labels one below the other, because states lie close together.

    Args:
        axes: where to write.
        texts: height, place and text of each label.
        apart: least distance between two labels, in units of the vertical axis.
    """
    right, free = max(place for _, place, _ in texts) + 0.06, np.inf
    for height, place, text in sorted(texts, reverse=True):
        free = min(height + apart, free - apart)
        axes.plot([place, right - 0.005], [height, free], color=STATE, lw=0.5)
        axes.text(right, free, text, fontsize=8, color=STATE, va="center")


def _mark(axes: Axes, row: pd.Series, colour: str, marker: str, label: str) -> None:
    errors = [[row[n] - row[f"{n}_low"], row[f"{n}_high"] - row[n]] for n in ("fidelity", "ease")]
    x, y = (np.array(error)[:, None] for error in errors)
    at = row["fidelity"], row["ease"]
    axes.errorbar(*at, yerr=y, xerr=x, color=colour, marker=marker, ms=6, lw=1)
    offset = (6, -11) if row["candidate"] in BELOW else (6, 5)
    axes.annotate(label, at, offset, textcoords="offset points", fontsize=8, color=colour)


def _envelope(axes: Axes, rivals: pd.DataFrame, label: str) -> None:
    exact = np.empty(0)
    known = [
        (Estimate(row["fidelity"], exact), Estimate(row["ease"], exact))
        for _, row in rivals.iterrows()
    ]
    grid = np.linspace(0, rivals["fidelity"].max(), 200)
    heights = [frontier(known, Estimate(f, exact)).value for f in grid]
    axes.plot(grid, heights, color=RIVAL, lw=1, ls="--", label=label)


def _course(axes: Axes, course: pd.DataFrame, name: str, title: str) -> None:
    budgets = sorted(course["budget"].unique())
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(budgets)))
    colours, named = dict(zip(budgets, shades, strict=True)), set()
    for _, rows in course.groupby("model", sort=False):
        budget = rows["budget"].iloc[0]
        label = f"_{budget:g}" if budget in named else f"{budget:g}"  # in the legend once
        axes.plot(rows["step"], rows[name], color=colours[budget], lw=1.2, label=label)
        named.add(budget)
    axes.set_yscale("log")
    axes.set_ylabel(title)
