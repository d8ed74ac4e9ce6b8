"""Figures of free-running forecasts: how good by lead time, and what they sound like."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from mimi_dynamics.codec import SAMPLE_RATE
from mimi_dynamics.codec_losses import mel_spectrum
from mimi_dynamics.figures import STYLE

ROW_COLOURS = {"rollout": "#1b6ca8", "direct": "#d98324", "var": "#4b9b69", "truth": "#555555"}
SKILL_LABELS = {
    "direct": "one jump: a model trained for this lead alone",
    "rollout": "free-running: its own samples fed back, frame by frame",
    "var": "linear model, free-running",
}
SURVIVAL_LABELS = {"truth": "recorded speech", "rollout": "free-running samples"}
WINDOW = 1024  # samples
QUIETEST_DB, LOUDEST_DB = -90.0, -25.0
DB_PER_NEPER = 20 / math.log(10)
TICKS_KHZ = (0.5, 2, 8)


def rollout_figure(table: pd.DataFrame) -> Figure:
    """Skill and survival against lead time.

    Args:
        table: rows of `row`, `lead_ms`, and `skill` and `survival` with `_low` and `_high`.
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


class Listening(NamedTuple):
    """A clip to look at and to listen to.

    Attributes:
        name: of the clip.
        prompt_seconds: what is true in all sounds.
        sounds: by name, the truth first, (samples,) audio.
    """

    name: str
    prompt_seconds: float
    sounds: dict[str, np.ndarray]


def sounds_figure(clips: Sequence[Listening]) -> Figure:
    """Spectrograms of the truth and of continuations of its beginning, a column for every clip."""
    rows = list(clips[0].sounds)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1 + 4 * len(clips), 0.9 + 1.5 * len(rows)), layout="constrained")
        figure.suptitle("Up to the line what was said; after it, what the predictor makes up")
        grid = figure.subplots(len(rows), len(clips), sharex=True, sharey=True, squeeze=False)
        for column, clip in zip(grid.T, clips, strict=True):
            column[0].set_title(clip.name, fontsize=10)
            column[-1].set_xlabel("seconds")
            for axes, sound in zip(column, clip.sounds.values(), strict=True):
                image = _spectrogram(axes, sound)
                axes.axvline(clip.prompt_seconds, color="white", lw=1.5, ls="--")
        for axes, name in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(f"{name}\nkHz")
        grid[0, 0].set_xlim(0, max(len(s) for c in clips for s in c.sounds.values()) / SAMPLE_RATE)
        figure.colorbar(image, ax=grid, label="level, dB", shrink=0.6, pad=0.01)
    return figure


def _spectrogram(axes: Axes, sound: np.ndarray) -> AxesImage:
    spectrum = mel_spectrum(torch.from_numpy(sound)[None], WINDOW)[0].numpy()
    extent = (0, len(sound) / SAMPLE_RATE, 0, _mel(SAMPLE_RATE / 2))
    axes.set_yticks([_mel(1000 * tick) for tick in TICKS_KHZ], [str(tick) for tick in TICKS_KHZ])
    return axes.imshow(
        spectrum * DB_PER_NEPER,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmin=QUIETEST_DB,
        vmax=LOUDEST_DB,
    )


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)
