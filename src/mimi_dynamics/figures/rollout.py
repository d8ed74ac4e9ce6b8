"""The figure of free-running forecasts: how good they are, by lead time."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.pipeline.plotting import STYLE

ROW_COLOURS = {"rollout": "#1b6ca8", "direct": "#d98324", "var": "#4b9b69", "truth": "#555555"}
SKILL_LABELS = {
    "direct": "one jump: a model trained for this lead alone",
    "rollout": "free-running: its own samples fed back, frame by frame",
    "var": "linear model, free-running",
}
SURVIVAL_LABELS = {"truth": "recorded speech", "rollout": "free-running samples"}


def rollout_figure(table: pd.DataFrame) -> Figure:
    """Draw skill and survival by lead time.

    Args:
        table: one row for each `row` and `lead_ms`, with `skill` and `survival`, each also with
            `_low` and `_high`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.5, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        _curves(left, table, "skill", SKILL_LABELS)
        left.axhline(0, color="#222222", lw=0.8, label="random frames of speech, by definition")
        left.set_ylabel("skill: 0 = random frames of speech, 1 = always right")
        left.set_title("How far ahead forecasts of the latent are worth anything", loc="left")
        left.legend(frameon=False, loc="upper right")
        percent = 100 * table.filter(like="survival")
        _curves(right, table[["row", "lead_ms"]].join(percent), "survival", SURVIVAL_LABELS)
        right.axhline(99.9, color="#222222", lw=0.8, ls=":", label="train speech, by definition")
        lowest = min(99, right.get_ylim()[0])
        right.set_ylim(lowest - 0.3 * (100 - lowest), 100.05)  # room for the legend
        right.set_ylabel("frames no farther out than train speech, %")
        right.set_title("Do free-running samples stay where speech is?", loc="left")
        right.legend(frameon=False, loc="lower left")
        for axes in (left, right):
            axes.set_xlabel("how far ahead, ms")
    return figure


def _curves(axes: Axes, table: pd.DataFrame, name: str, labels: dict[str, str]) -> None:
    for row, label in labels.items():
        curve, colour = table[table["row"] == row], ROW_COLOURS[row]
        low, high = curve[f"{name}_low"], curve[f"{name}_high"]
        axes.fill_between(curve["lead_ms"], low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(curve["lead_ms"], curve[name], color=colour, marker="o", ms=4, label=label)
    leads = sorted(table["lead_ms"].unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(leads, [f"{lead:g}" for lead in leads])
