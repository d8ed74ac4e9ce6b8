"""The figure of `calm`: skill by lead, score against cost, distances of windows."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mimi_dynamics.pipeline.plotting import STYLE

COLOURS = {
    "calm": "#b4436c",
    "ours": "#1b6ca8",
    "predictor": "#d98324",
    "var": "#4b9b69",
    "recorded": "#555555",
}
LABELS = {
    "calm": "CALM",
    "ours": "z_dyn, then z_rec, then x",
    "predictor": "plain predictor of x",
    "var": "linear model (VAR)",
    "recorded": "other speech",
}
DISTANCES = {
    "frechet": "Fréchet distance",
    "sliced_wasserstein": "sliced Wasserstein distance",
}


def calm_figure(skill: pd.DataFrame, cost: pd.DataFrame, windows: pd.DataFrame) -> Figure:
    """Draw how good continuations are, at what cost, and how similar they are to speech.

    Args:
        skill: the table `metrics.skill_table` of one split.
        cost: the table `metrics.cost_table`.
        windows: distances of windows, with the columns `row`, `distance`, `value`, `low`, `high`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(14, 5.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=[5, 4, 4])
        _skill(left, skill)
        _cost(middle, cost)
        _windows(right, windows)
    return figure


def _skill(axes: Axes, table: pd.DataFrame) -> None:
    leads = sorted(table["lead_ms"].unique())
    for name, label in LABELS.items():
        curve = table[table["row"] == name]
        if curve.empty:
            continue
        colour = COLOURS[name]
        axes.fill_between(
            curve["lead_ms"],
            curve["skill_low"],
            curve["skill_high"],
            color=colour,
            alpha=0.15,
            lw=0,
        )
        axes.plot(curve["lead_ms"], curve["skill"], "o-", ms=4, color=colour, label=label)
    axes.axhline(0, color="#222222", lw=0.8, label="random frames of speech, by definition")
    axes.set_xscale("log", base=2)
    axes.set_xticks(leads, [f"{lead:g}" for lead in leads])
    axes.set_xlabel("ms ahead, free-running")
    axes.set_ylabel("skill: 0 = random frames of speech, 1 = always right")
    axes.set_title("How good are continuations?", loc="left")
    axes.legend(frameon=False, loc="upper right", fontsize=9)


def _cost(axes: Axes, table: pd.DataFrame) -> None:
    for name in ("calm", "ours"):
        curve = table[table["row"] == name]
        colour = COLOURS[name]
        low, high = curve["energy_score_low"], curve["energy_score_high"]
        axes.fill_between(curve["train_flops"], low, high, color=colour, alpha=0.15, lw=0)
        axes.plot(
            curve["train_flops"],
            curve["energy_score"],
            "o-",
            ms=4,
            color=colour,
            label=LABELS[name],
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda flops, _: f"{flops / 1e12:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("operations spent on training, 10¹²; ours includes the factorisation")
    axes.set_ylabel("energy score, mean over all leads: less is better")
    axes.set_title("At what cost?", loc="left")
    axes.legend(frameon=False, fontsize=9)


def _windows(axes: Axes, table: pd.DataFrame) -> None:
    names = [name for name in LABELS if name in set(table["row"])]
    floor = table[table["row"] == "recorded"].set_index("distance")["value"]
    width = 0.8 / len(DISTANCES)
    for offset, (distance, label) in enumerate(DISTANCES.items()):
        rows = table[table["distance"] == distance].set_index("row").loc[names]
        at = np.arange(len(names)) + (offset - 0.5) * width
        value, low, high = (rows[column] / floor[distance] for column in ("value", "low", "high"))
        errors = np.abs([value - low, high - value])
        hatch = "" if offset == 0 else "///"
        axes.barh(
            at,
            value,
            width * 0.9,
            xerr=errors,
            color=[COLOURS[name] for name in names],
            alpha=0.9 if offset == 0 else 0.5,
            hatch=hatch,
            ecolor="#222222",
            error_kw={"lw": 0.8},
        )
        axes.barh([0], [0], color="#bbbbbb", hatch=hatch, alpha=0.9, label=label)
    axes.axvline(1, color="#222222", lw=0.8, ls=":")
    axes.set_yticks(
        np.arange(len(names)), [LABELS[name].replace(", then", ",\nthen", 1) for name in names]
    )
    axes.invert_yaxis()
    axes.set_xlabel("distance of 1-second windows to what was said;\n1 = other recorded speech")
    axes.set_title("How like speech, pooled?", loc="left")
    axes.set_xlim(0, 1.12 * axes.get_xlim()[1])
    axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.4, -0.17), ncols=2)
