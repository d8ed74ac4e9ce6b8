"""The figure of lookups: by number of neighbours, and for every key and metric."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mimi_dynamics.pipeline.plotting import STYLE

KEY_MEANINGS = {
    "learned": "learned from 8 frames",
    "predicted_mean": "linear prediction",
    "window": "last 4 frames, whitened",
    "whitened": "last frame, whitened",
    "frame": "last frame, as it is",
    "delta": "last change",
    "codes": "last 2 codes",
    "pooled": "earlier test: mean of 8 frames",
    "random": "random numbers",
    "predictor": "trained predictor",
}
KEY_COLOURS = {
    "learned": "#7a3b9a",
    "predicted_mean": "#1b6ca8",
    "window": "#2a9d9d",
    "whitened": "#4b9b69",
    "frame": "#8aa83a",
    "delta": "#d98324",
    "codes": "#a8663a",
    "pooled": "#c23b3b",
    "random": "#9a9a9a",
    "predictor": "#222222",
}
NOTHING = "#808080"


def recurrence_figure(table: pd.DataFrame, best: tuple[str, str]) -> Figure:
    """Draw the variance explained by number of neighbours, and by key and metric.

    Args:
        table: rows of `data` (`real` or `shuffled`), `key`, `metric`, `neighbours`,
            `variance_reduction` with `_ci_low` and `_ci_high`, `chosen` (whether this number of
            neighbours is best on validation) and `best_metric` (whether this metric is best for its
            key on validation). The key `predictor` has one row, without neighbours.
        best: the key and the metric that explain most on validation.
    """
    chosen = table[table["chosen"] & (table["data"] == "real")].set_index(["key", "metric"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.5, 6.4), layout="constrained")
        figure.suptitle(
            _answer(chosen.loc[best], chosen.loc["pooled"].iloc[0], best[0]),
            fontsize=12,
            x=0.01,
            ha="left",
        )
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _curves(left, table)
        _bars(right, table)
    return figure


def _answer(best: pd.Series, earlier: pd.Series, key: str) -> str:
    """Write the title, which says whether the key of the earlier test was the wrong one.

    It was wrong if even the upper end of its interval is below half the lower end of the interval
    of the best key.
    """
    wrong = 2 * max(earlier["variance_reduction_ci_high"], 0) < best["variance_reduction_ci_low"]
    return (
        f"It was {'' if wrong else 'not '}the wrong key: that of an earlier, flat lookup test "
        f"explains {earlier['variance_reduction']:.0%} of the variance, "
        f"the best one ({KEY_MEANINGS[key]}) {best['variance_reduction']:.0%}.\n"
        "Forecast: the mean of what came next after the most similar moments of other recordings."
    )


def _curves(axes: Axes, table: pd.DataFrame) -> None:
    curves = table[table["best_metric"] & table["neighbours"].notna()]
    counts = np.sort(curves["neighbours"].unique()).astype(int)
    nothing = curves[(curves["data"] == "shuffled") | (curves["key"] == "random")]
    band = nothing.groupby("neighbours")["variance_reduction"].agg(["min", "max"])
    axes.fill_between(counts, band["min"], band["max"], color=NOTHING, alpha=0.35, lw=0)
    ends = [(band["min"].iloc[-1], "shuffled frames,\nrandom keys", NOTHING)]
    real = curves[(curves["data"] == "real") & (curves["key"] != "random")]
    for key, line in real.groupby("key"):
        line = line.sort_values("neighbours")
        colour, reduction, chosen = KEY_COLOURS[key], line["variance_reduction"], line["chosen"]
        axes.plot(line["neighbours"], reduction, color=colour, lw=1.8)
        axes.plot(line["neighbours"][chosen], reduction[chosen], "o", color=colour, ms=6)
        ends.append((reduction.iloc[-1], KEY_MEANINGS[key], colour))
    predictor = table.loc[table["key"] == "predictor", "variance_reduction"].iloc[0]
    axes.hlines(predictor, 1, counts[-1], color=KEY_COLOURS["predictor"], ls="--", lw=1.2)
    ends.append((predictor, KEY_MEANINGS["predictor"], KEY_COLOURS["predictor"]))
    axes.hlines(0, 0.85, counts[-1], color="#222222", lw=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.85, 32 * counts[-1])
    axes.set_xticks(counts, [f"{count}" for count in counts])
    axes.set_ylim(-0.2, max(reduction for reduction, _, _ in ends) + 0.1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("similar moments averaged (dot: number chosen on validation)", loc="left")
    axes.set_ylabel("variance of the latent explained, on test clips")
    axes.set_title("by number of neighbours, best metric of each key", fontsize=10, loc="left")
    _label_ends(axes, ends, 1.2 * counts[-1])


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]], x: float) -> None:
    """Write the names of lines at their right ends, pushed up where they would overlap."""
    low, high = axes.get_ylim()
    place = low
    for height, name, colour in sorted(ends):
        lines = 1 + name.count("\n")
        place = max(height - (lines - 1) * 0.018 * (high - low), place)
        axes.text(x, place, name, color=colour, fontsize=8.5, va="center")
        place += (1 + lines) / 2 * 0.036 * (high - low)


def _bars(axes: Axes, table: pd.DataFrame) -> None:
    chosen = table[table["chosen"] | (table["key"] == "predictor")]
    real = chosen[chosen["data"] == "real"].sort_values("variance_reduction", kind="stable")
    place = np.arange(len(real))
    value = real["variance_reduction"].to_numpy()
    errors = np.stack(
        [
            value - real["variance_reduction_ci_low"],
            real["variance_reduction_ci_high"] - value,
        ]
    )
    axes.barh(place, value, color=[KEY_COLOURS[key] for key in real["key"]], height=0.7)
    axes.errorbar(value, place, xerr=errors, fmt="none", color="#222222", lw=1.2, capsize=2.5)
    for x, y in zip(real["variance_reduction_ci_high"], place, strict=True):
        axes.annotate(
            f"{value[y]:.1%}", (max(x, 0), y), (4, 0), textcoords="offset points", va="center"
        )
    twins = chosen[chosen["data"] == "shuffled"].set_index(["key", "metric"])["variance_reduction"]
    of_twin = list(zip(real["key"], real["metric"], strict=True))
    results = [(twins[pair], y) for pair, y in zip(of_twin, place, strict=True) if pair in twins]
    found, at = zip(*results, strict=True)
    axes.scatter(
        found,
        at,
        marker="D",
        s=26,
        color="white",
        edgecolor="#222222",
        zorder=3,
        label="same, frames shuffled within each clip",
    )
    names = [_name(key, metric) for key, metric in of_twin]
    axes.set_yticks(place, names, fontsize=8.5)
    axes.axvline(0, color="#222222", lw=0.8)
    axes.set_xlim(right=1.12 * max(0.01, real["variance_reduction_ci_high"].max()))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("variance explained, on test clips, with 95 % interval")
    axes.set_title("every key and metric", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")


def _name(key: str, metric: str) -> str:
    meaning = KEY_MEANINGS[key]
    return meaning if metric in ("", "exact") or key == "random" else f"{meaning}, {metric}"
