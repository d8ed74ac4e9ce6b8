"""Figures of gains: next to their surrogates, by lead time, and next to known answers."""

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.pipeline.plotting import STYLE

if TYPE_CHECKING:
    from matplotlib.typing import LegendLocType  # only newer versions of matplotlib have it

ROW_COLOURS = {
    "real": "#1b6ca8",
    "shuffled": "#d98324",
    "permuted": "#9a9a9a",
    "linear": "#4b9b69",
}
ROW_MEANINGS = {
    "real": "recorded speech",
    "shuffled": "frames shuffled\nwithin each clip",
    "permuted": "frames shuffled\nacross the corpus",
    "linear": "simulated by\na linear model",
}
HEAD_COLOURS = {
    "gaussian": "#9a9a9a",
    "mdn": "#d98324",
    "autoregressive": "#4b9b69",
    "flow": "#1b6ca8",
}
OTHER = "#7a3b9a"  # for any surrogate or head without a colour of its own
HALF_LN_2 = 0.34657359


def gains_figure(table: pd.DataFrame, horizon: int, head: str) -> Figure:
    """Draw gains of real data and of every surrogate, on x and on Δx.

    Args:
        table: one line for each `row`, with `gain`, `gain_low`, `gain_high` for x and the same
            names with the prefix `delta_` for Δx, in nats per dimension.
        horizon: the horizon in frames.
        head: name of the density head, for the title.
    """
    title = f"What the past tells about the latent at horizon {horizon} ({head}, stacked)"
    rows = table.set_index("row")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 4.6), layout="constrained")
        figure.suptitle(title, fontsize=12)
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, rows, "gain", "the latent x: shuffling takes the gain away")
        _bars(right, rows, "delta_gain", "its change Δx: noise seems predictable too")
        label = "½ ln 2: what Gaussian noise gives for free"
        right.axhline(HALF_LN_2, color="#b03030", lw=1.2, ls="--", label=label)
        right.legend(loc="upper right", frameon=False, labelcolor="#b03030")
        right.set_ylim(top=1.1 * right.get_ylim()[1])  # room for the legend above the highest bar
        left.set_ylabel("gain over not knowing the past, nats per dimension")
    return figure


def _bars(axes: Axes, table: pd.DataFrame, name: str, title: str) -> None:
    for position, (row, values) in enumerate(table.iterrows()):
        height = values[name]
        errors: Any = [[height - values[f"{name}_low"]], [values[f"{name}_high"] - height]]
        axes.bar(position, height, color=ROW_COLOURS.get(row, OTHER), width=0.65)
        axes.errorbar(position, height, errors, color="#222222", lw=1.2, capsize=3)
        top = max(values[f"{name}_high"], 0)
        axes.annotate(
            f"{height:.3f}", (position, top), (0, 3), textcoords="offset points", ha="center"
        )
    axes.axhline(0, color="#222222", lw=0.8)
    axes.set_xticks(
        range(len(table)), [ROW_MEANINGS.get(row, row) for row in table.index], fontsize=9
    )
    axes.set_title(title, fontsize=10, loc="left")


def horizons_figure(table: pd.DataFrame) -> Figure:
    """Draw gain by lead time: on x next to shuffled frames, and on Δx next to pure noise.

    Args:
        table: one row for each lead time `lead_ms`, with the columns `real`, `var`, `shuffled`,
            `delta`, `delta_permuted`, `delta_var`, each also with `_low` and `_high`, in nats
            per dimension.
    """
    on_x = {
        "real": (ROW_COLOURS["real"], "recorded speech"),
        "var": (ROW_COLOURS["linear"], "of that, what a linear model finds"),
        "shuffled": (ROW_COLOURS["shuffled"], "frames shuffled within each clip: no dynamics"),
    }
    on_change = {
        "delta": (ROW_COLOURS["real"], "recorded speech"),
        "delta_var": (ROW_COLOURS["linear"], "of that, what a linear model finds"),
        "delta_permuted": (ROW_COLOURS["permuted"], "noise: frames permuted over the corpus"),
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
        _draw_curves(left, table, on_x, "upper right")
        _draw_curves(right, table, on_change, (0.02, 0.12))
        left.set_ylabel("gain over not knowing the past, nats per dimension")
        left.set_title("How far ahead the past tells about the latent", fontsize=12, loc="left")
        right.set_title("The same of its change: noise gains too", fontsize=12, loc="left")
    return figure


def _draw_curves(
    axes: Axes,
    table: pd.DataFrame,
    curves: dict[str, tuple[str, str]],
    legend: "LegendLocType",
) -> None:
    leads = table["lead_ms"]
    for name, (colour, label) in curves.items():
        axes.fill_between(
            leads, table[f"{name}_low"], table[f"{name}_high"], color=colour, alpha=0.25
        )
        axes.plot(leads, table[name], color=colour, marker="o", ms=4, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(leads, [f"{lead:g}" for lead in leads])
    axes.axhline(0, color="#222222", lw=0.8)
    axes.set_xlabel("how far ahead, ms")
    axes.legend(frameon=False, loc=legend)


def controls_figure(table: pd.DataFrame) -> Figure:
    """Draw the estimated and the true gain of every process with a known answer.

    Args:
        table: one row for each `process`, with `true_nats_per_dim` (missing where it is 0),
            `estimated_nats_per_dim` with `_ci_low` and `_ci_high`, `linear_floor_nats_per_dim`, and
            the `kind`: `development` or `held out`.
    """
    true = table["true_nats_per_dim"].fillna(0)
    estimated = table["estimated_nats_per_dim"]
    errors = [
        estimated - table["estimated_nats_per_dim_ci_low"],
        table["estimated_nats_per_dim_ci_high"] - estimated,
    ]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.4), layout="constrained")
        axes = figure.subplots()
        place = np.arange(len(table))
        axes.bar(place - 0.27, true, 0.26, color="#c9c9c9", label="true gain")
        axes.bar(place, estimated, 0.26, color=ROW_COLOURS["real"], label="found by the estimator")
        axes.errorbar(place, estimated, errors, fmt="none", color="#222222", lw=1.2, capsize=3)
        floor = table["linear_floor_nats_per_dim"]
        axes.bar(place + 0.27, floor, 0.26, color=ROW_COLOURS["linear"], label="linear model alone")
        for x, t, f in zip(place, true, estimated, strict=True):
            text = f"{round(f / t, 3) + 0.0:.1%}" if t else f"{f:.3f}"  # + 0.0: never −0
            axes.annotate(text, (x, max(t, f)), (0, 4), textcoords="offset points", ha="center")
        names = [name.replace("_", "\n") for name in table["process"]]
        axes.set_xticks(place, names, fontsize=8.5)
        held_out = place[table["kind"] == "held out"]
        if len(held_out):
            axes.axvspan(held_out[0] - 0.5, held_out[-1] + 0.5, color="#f3efe6", zorder=0)
            where = held_out.mean(), 1.0
            axes.annotate(
                "held out: no setting was chosen by these",
                where,
                (0, -12),
                ha="center",
                fontsize=9,
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
            )
            axes.set_ylim(top=1.12 * axes.get_ylim()[1])
        axes.set_ylabel("nats per dimension")
        axes.set_title("Known answers: share of the true gain recovered", fontsize=12, loc="left")
        axes.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.12))
    return figure


def calibration_figure(table: pd.DataFrame) -> Figure:
    """Draw how often the observed frame lies inside a forecast region, against how often it should.

    Args:
        table: one row for each `head`, `kind` (`region` or `coordinate`) and `level`, with
            `coverage` and its interval.
    """
    titles = {
        "region": "Densest region of the whole frame",
        "coordinate": "Central interval of each coordinate",
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 4.6), layout="constrained")
        for axes, (kind, title) in zip(
            figure.subplots(1, 2, sharey=True), titles.items(), strict=True
        ):
            axes.plot([0, 1], [0, 1], color="#222222", lw=0.8, ls=":", label="as it should be")
            for head, rows in table[table["kind"] == kind].groupby("head", sort=False):
                colour, level = HEAD_COLOURS.get(head, OTHER), rows["level"]
                low, high = rows["coverage_ci_low"], rows["coverage_ci_high"]
                axes.fill_between(level, low, high, color=colour, alpha=0.25)
                axes.plot(level, rows["coverage"], color=colour, marker="o", ms=3, label=head)
            axes.set_title(title, fontsize=12, loc="left")
            axes.set_xlabel("probability said to be inside")
            axes.set_aspect("equal")
        figure.axes[0].set_ylabel("share of held-out frames inside")
        figure.axes[0].legend(frameon=False)
    return figure
