"""Latents whose gain is known, and efforts that take a moment."""

from dataclasses import replace

import numpy as np

from mimi_dynamics.diagnostics.processes import PROCESSES
from mimi_dynamics.measurement.efforts import EFFORTS, Effort

RATE = 12.5


def clips_of(process: str, clips: int = 60, frames: int = 100, dim: int = 2) -> np.ndarray:
    """Give (clips, frames, dim) float32 clips of one of `PROCESSES`."""
    data = PROCESSES[process].simulate(clips, frames, dim, seed=0)
    return data.frames.numpy().reshape(clips, frames, dim)


def quick(name: str = "fast") -> Effort:
    """Give an effort that fits what it does, but only for a moment."""
    effort = EFFORTS[name]
    short = {"width": 4, "components": 2, "bootstrap_samples": 100, "min_steps": 1, "lags": 2}
    settings = effort.settings.model_copy(update=short)
    return replace(effort, settings=settings, controls=("white_noise", "linear"))
