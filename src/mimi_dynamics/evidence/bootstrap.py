"""Means with intervals: a bootstrap over clips, paired wherever two estimates share the clips.

Frames of one clip are not independent, so whole clips are resampled (Efron & Tibshirani 1993, ch.
8); an interval from resampled frames would be several times too narrow.
"""

import math
from dataclasses import dataclass

import numpy as np

from mimi_dynamics.pipeline.errors import InputError

COVERAGE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and its values under resampling; differences of two estimates are paired.

    Attributes:
        value: the estimate on the clips as they are.
        resamples: (samples,) the estimate on each bootstrap draw of clips; NaN where none of the
            clips drawn has a frame that counts.
    """

    value: float
    resamples: np.ndarray

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Give the paired difference."""
        return Estimate(self.value - other.value, self.resamples - other.resamples)

    def beyond(self, null: "Estimate") -> "Estimate":
        """Give the paired difference to what a null gains, in every draw at least nothing.

        A surrogate that loses by overfitting must not be credited to what it lacks.
        """
        return Estimate(
            self.value - max(null.value, 0.0), self.resamples - np.maximum(null.resamples, 0.0)
        )

    def __neg__(self) -> "Estimate":
        """Give the same estimate with the opposite sign."""
        return Estimate(-self.value, -self.resamples)

    def __truediv__(self, divisor: "Estimate | float") -> "Estimate":
        """Give the paired ratio, or divide by a number, for example to change the unit."""
        if isinstance(divisor, Estimate):
            return Estimate(self.value / divisor.value, self.resamples / divisor.resamples)
        return Estimate(self.value / divisor, self.resamples / divisor)

    def metrics(self, name: str) -> dict[str, float]:
        """Give the value and its central 95 % interval, as metrics.

        Draws of clips on which there is nothing to estimate are left out.

        Returns:
            The keys `name`, `name_ci_low` and `name_ci_high`.
        """
        known = self.resamples[~np.isnan(self.resamples)]
        low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        return {name: self.value, f"{name}_ci_low": float(low), f"{name}_ci_high": float(high)}


class ClipBootstrap:
    """One set of bootstrap draws of clips, shared by all estimates that are to be compared.

    Args:
        clips: number of clips.
        samples: number of draws.
        seed: seed of the draws.
    """

    def __init__(self, clips: int, samples: int, seed: int) -> None:
        draws = np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), samples)
        self.weights = np.vstack([np.ones(clips), draws])  # the first row is the clips as they are

    def mean(self, values: np.ndarray, clip: np.ndarray) -> Estimate:
        """Estimate the mean over frames, in which every frame has the same weight.

        Args:
            values: (frames,) the values to average.
            clip: (frames,) index of each frame's clip.

        Raises:
            InputError: there is no frame. The mean of none is no result, not even 0.
        """
        if not len(values):
            raise InputError(
                "an average over clips has no frame that counts; look at silent_share and "
                "padded_share in metrics/detail/encode.json"
            )
        clips = self.weights.shape[1]
        sums = np.bincount(clip, values.astype(np.float64), minlength=clips)
        counts = np.bincount(clip, minlength=clips)
        drawn = self.weights @ counts
        means = np.where(drawn > 0, (self.weights @ sums) / np.maximum(drawn, 1), np.nan)
        return Estimate(float(means[0]), means[1:])


def r2_equivalent(gain_nats_per_dim: float) -> float:
    """Give the share of variance that a Gaussian would explain at this gain: 1 − exp(−2 gain).

    Args:
        gain_nats_per_dim: gain in nats per dimension.
    """
    return 1 - math.exp(-2 * gain_nats_per_dim)
