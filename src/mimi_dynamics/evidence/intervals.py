"""Intervals over trainings and over voices, where an interval over clips alone is too narrow.

A gain depends on the clips that it was measured on, on the seed that its densities were trained
with, and on who speaks. docs/explanation/intervals.md tells which interval covers what.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from mimi_dynamics.evidence.bootstrap import COVERAGE, ClipBootstrap, Estimate

UPPER = (1 + COVERAGE) / 2
LEAST_VOICES = 3  # A t-interval of two would be ± 9 times their standard deviation.


@dataclass(frozen=True)
class TrainedEstimate:
    """A number estimated by several trainings; differences are paired by clips and by training.

    Attributes:
        trainings: the estimate of each training, all over the same draws of clips; two or more.
    """

    trainings: tuple[Estimate, ...]

    def __sub__(self, other: "TrainedEstimate | Estimate") -> "TrainedEstimate":
        """Give the paired difference; an `Estimate` is the same for every training."""
        return self._paired(operator.sub, other)

    def __neg__(self) -> "TrainedEstimate":
        """Give the same estimate with the opposite sign."""
        return TrainedEstimate(tuple(-estimate for estimate in self.trainings))

    def __truediv__(self, divisor: "TrainedEstimate | Estimate | float") -> "TrainedEstimate":
        """Give the paired ratio, or divide by a number, for example to change the unit."""
        return self._paired(operator.truediv, divisor)

    def _paired(
        self,
        combine: Callable[[Estimate, "Estimate | float"], Estimate],
        other: "TrainedEstimate | Estimate | float",
    ) -> "TrainedEstimate":
        count = len(self.trainings)
        others = other.trainings if isinstance(other, TrainedEstimate) else (other,) * count
        pairs = zip(self.trainings, others, strict=True)
        return TrainedEstimate(tuple(combine(own, theirs) for own, theirs in pairs))

    @property
    def mean(self) -> Estimate:
        """The mean over trainings, whose draws hold the chance of clips and not that of seeds."""
        return Estimate(
            float(np.mean([estimate.value for estimate in self.trainings])),
            np.mean([estimate.resamples for estimate in self.trainings], axis=0),
        )

    def metrics(self, name: str) -> dict[str, float]:
        """Give the mean over trainings and its 95 % interval over clips and trainings, as metrics.

        Half of the interval's width is √[(1.96 · SE)² + (t · s / √m)²]. SE is the standard
        deviation over draws of clips of the mean over trainings, s that of the m trainings, and t
        the 97.5 % quantile of Student's t with m − 1 degrees of freedom. A percentile bootstrap of
        m trainings could not leave their range.

        Returns:
            The keys `name`, `name_ci_low`, `name_ci_high`, `name_trainings`, which is m, and
            `name_training_sd`, which is s.
        """
        mean = self.mean
        values = np.array([estimate.value for estimate in self.trainings])
        of_clips = norm.ppf(UPPER) * np.nanstd(mean.resamples)
        half_width = np.hypot(of_clips, t_half_width(values))
        return {
            **around(name, mean.value, half_width),
            f"{name}_trainings": len(values),
            f"{name}_training_sd": float(values.std(ddof=1)),
        }


def over_trainings(estimates: Sequence[Estimate]) -> TrainedEstimate | Estimate:
    """Join the estimates of all trainings; a single one stays what it is."""
    return TrainedEstimate(tuple(estimates)) if len(estimates) > 1 else estimates[0]


class ByVoice(ClipBootstrap):
    """The clips of one voice at a time, in place of draws of clips.

    The `resamples` of an estimate then hold its value on each voice, in alphabetical order.

    Args:
        voices: (clips,) str, who speaks in each clip.
    """

    def __init__(self, voices: np.ndarray) -> None:
        self.weights = np.vstack([np.ones(len(voices)), voices == np.unique(voices)[:, None]])


def over_voices(estimate: TrainedEstimate | Estimate, name: str) -> dict[str, float]:
    """Give the mean over voices, each of the same weight, with its 95 % t-interval, as metrics.

    It is an interval of the mean over voices like those of the split, not of a single new one.
    Voices without a frame that counts are left out.

    Args:
        estimate: an estimate over the draws of `ByVoice`.
        name: name of the metric.

    Returns:
        The keys `name`, `name_ci_low`, `name_ci_high` and `voices`, their number; nothing if there
        are fewer than `LEAST_VOICES`.
    """
    of_voice = estimate.mean if isinstance(estimate, TrainedEstimate) else estimate
    known = of_voice.resamples[~np.isnan(of_voice.resamples)]
    if len(known) < LEAST_VOICES:
        return {}
    return {**around(name, float(known.mean()), t_half_width(known)), "voices": len(known)}


def t_half_width(values: np.ndarray) -> float:
    """Give half the width of the 95 % t-interval of a mean (Student 1908).

    Args:
        values: (values,) independent measurements of one number; two or more.
    """
    count = len(values)
    return float(t.ppf(UPPER, count - 1) * values.std(ddof=1) / np.sqrt(count))


def around(name: str, value: float, half_width: float) -> dict[str, float]:
    """Give a number and its symmetric interval, as metrics."""
    ends = {"low": value - half_width, "high": value + half_width}
    return {name: value} | {f"{name}_ci_{end}": float(at) for end, at in ends.items()}
