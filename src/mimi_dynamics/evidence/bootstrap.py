"""Means with intervals: bootstrap over clips, paired wherever two estimates share the clips.

Frames of one clip are not independent, so a clip is what is drawn again (Efron & Tibshirani 1993,
ch. 8); an interval over frames would be several times too narrow.
"""

import math
from dataclasses import dataclass

import numpy as np

COVERAGE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and its values under resampling; differences of two are paired.

    Attributes:
        value: the estimate on the clips as they are.
        resamples: (samples,) the estimate on each bootstrap draw of clips.
    """

    value: float
    resamples: np.ndarray

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Paired difference."""
        return Estimate(self.value - other.value, self.resamples - other.resamples)

    def __neg__(self) -> "Estimate":
        """The same with the other sign."""
        return Estimate(-self.value, -self.resamples)

    def __truediv__(self, divisor: "Estimate | float") -> "Estimate":
        """Paired ratio, or a change of units."""
        if isinstance(divisor, Estimate):
            return Estimate(self.value / divisor.value, self.resamples / divisor.resamples)
        return Estimate(self.value / divisor, self.resamples / divisor)

    def metrics(self, name: str) -> dict[str, float]:
        """`name`, `name_ci_low` and `name_ci_high`: the value and its central 95 % interval."""
        low, high = np.quantile(self.resamples, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        return {name: self.value, f"{name}_ci_low": float(low), f"{name}_ci_high": float(high)}


class ClipBootstrap:
    """One set of bootstrap draws of clips, for all estimates that are to be compared.

    Args:
        clips: number of clips.
        samples: number of draws.
        seed: of the draws.
    """

    def __init__(self, clips: int, samples: int, seed: int) -> None:
        draws = np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), samples)
        self.weights = np.vstack([np.ones(clips), draws])  # first row: the clips as they are

    def mean(self, values: np.ndarray, clip: np.ndarray) -> Estimate:
        """Mean over frames, each frame counting the same.

        Args:
            values: (frames,) what to average.
            clip: (frames,) index of each frame's clip.
        """
        clips = self.weights.shape[1]
        sums = np.bincount(clip, values.astype(np.float64), minlength=clips)
        counts = np.bincount(clip, minlength=clips)
        means = (self.weights @ sums) / np.maximum(self.weights @ counts, 1)
        return Estimate(float(means[0]), means[1:])


def r2_equivalent(gain_nats_per_dim: float) -> float:
    """Share of variance a Gaussian would explain at this gain: 1 − exp(−2 gain)."""
    return 1 - math.exp(-2 * gain_nats_per_dim)
