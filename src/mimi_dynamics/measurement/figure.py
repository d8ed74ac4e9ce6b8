"""The picture of a measurement: gains by lead, and controls."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.pipeline.plotting import STYLE
from mimi_dynamics.report.formatting import decimal, percent, words
from mimi_dynamics.report.metrics_file import measured

CURVES = {
    "gain": ("#1b6ca8", "gain"),
    "shuffled_gain": ("#d98324", "the same, frames shuffled within clips"),
}
INK, PALE = "#222222", "#c9c9c9"


def figure_of(of: Mapping[str, Any]) -> Figure:
    """Draw gains by horizon beside what was found of the controls.

    Args:
        of: what `Measurement.to_dict` gives.
    """
    first = measured(next(iter(of["horizons"].values())), "dynamic_gain_nats_per_dim")
    ahead = next(iter(of["horizons"]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        draw_gains(left, of)
        draw_controls(right, of)
        figure.suptitle(
            f"{ahead} frame{'' if ahead == '1' else 's'} ahead, the order of past frames is worth "
            f"{decimal(first.value)} nats per dimension "
            f"[{decimal(first.low)}, {decimal(first.high)}]",
            fontsize=12,
        )
    return figure


def draw_gains(axes: Axes, of: Mapping[str, Any]) -> None:
    """Draw the gain, and that of shuffled frames, by horizon."""
    leads, rate = [int(k) for k in of["horizons"]], of["frame_rate"]
    for key, (colour, label) in CURVES.items():
        found = [measured(h, f"{key}_nats_per_dim") for h in of["horizons"].values()]
        values = np.array([one.value for one in found])
        errors = [values - [one.low for one in found], [one.high for one in found] - values]
        axes.errorbar(
            leads, values, np.abs(errors), color=colour, marker="o", ms=5, capsize=3, label=label
        )
    axes.axhline(0, color=INK, lw=0.8)
    names = [f"{k}\n{decimal(1000 * k / rate, 0)} ms" if rate else str(k) for k in leads]
    axes.set_xticks(leads, names)
    axes.margins(x=0.15)
    axes.set_xlabel("frames ahead")
    axes.set_ylabel("nats per dimension")
    axes.set_title(f"Latents, effort {of['effort']}", fontsize=11, loc="left")
    axes.legend(frameon=False)


def draw_controls(axes: Axes, of: Mapping[str, Any]) -> None:
    """Draw the true gain of each control, and the one that was found."""
    place = np.arange(len(of["controls"]))
    true = [found["true_nats_per_dim"] for found in of["controls"].values()]
    got = [measured(found, "found_nats_per_dim") for found in of["controls"].values()]
    axes.bar(place - 0.2, true, 0.38, color=PALE, label="true gain")
    values = np.array([one.value for one in got])
    errors = [values - [one.low for one in got], [one.high for one in got] - values]
    axes.bar(place + 0.2, values, 0.38, color="#4b9b69", label="found")
    axes.errorbar(place + 0.2, values, np.abs(errors), fmt="none", color=INK, lw=1.2, capsize=3)
    for x, known, one in zip(place, true, got, strict=True):
        text = percent(one.value / known) if known else decimal(one.value)
        axes.annotate(
            text, (x, max(known, one.high, 0)), (0, 3), textcoords="offset points", ha="center"
        )
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_ylim(top=1.2 * axes.get_ylim()[1])  # room for the legend above the bars
    axes.set_xticks(place, [words(name).replace(" ", "\n") for name in of["controls"]])
    axes.set_title("Known answers, same size and settings", fontsize=11, loc="left")
    axes.legend(frameon=False)
