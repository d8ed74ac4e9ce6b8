"""Figures for people who look rather than read; same numbers, same bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.files import atomic_path

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
HALF_LN_2 = 0.34657359


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG without date or version, so that the same figure has the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})


def gains_figure(table: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Gains of real data beside those of every surrogate, on x and on Δx.

    Args:
        table: by row, `gain`, `gain_low`, `gain_high` on x and the same with `delta_` on Δx, in
            nats per dimension.
        title: what was predicted, from what.
    """
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.5, 4.6), layout="constrained")
        figure.suptitle(title, fontsize=12)
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, table, "gain", "the next latent x: shuffling takes the gain away")
        _bars(right, table, "delta_gain", "its change Δx: noise seems predictable too")
        label = "½ ln 2: what Gaussian noise gives for free"
        right.axhline(HALF_LN_2, color="#b03030", lw=1.2, ls="--", label=label)
        right.legend(loc="upper right", frameon=False, labelcolor="#b03030")
        left.set_ylabel("gain over not knowing the past, nats per dimension")
    return figure


def _bars(axes: Axes, table: Mapping[str, Mapping[str, float]], name: str, title: str) -> None:
    for position, (row, values) in enumerate(table.items()):
        height = values[name]
        errors: Any = [[height - values[f"{name}_low"]], [values[f"{name}_high"] - height]]
        axes.bar(position, height, color=ROW_COLOURS[row], width=0.65)
        axes.errorbar(position, height, errors, color="#222222", lw=1.2, capsize=3)
        top = max(values[f"{name}_high"], 0)
        axes.annotate(
            f"{height:.3f}", (position, top), (0, 3), textcoords="offset points", ha="center"
        )
    axes.axhline(0, color="#222222", lw=0.8)
    axes.set_xticks(range(len(table)), [ROW_MEANINGS[row] for row in table], fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
