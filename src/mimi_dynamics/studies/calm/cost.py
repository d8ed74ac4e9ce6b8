"""Score against training cost, and the cost ratio at an equal score."""

from dataclasses import dataclass

import numpy as np

from mimi_dynamics.evidence.bootstrap import Estimate


@dataclass(frozen=True)
class CostCurve:
    """Scores of a contender in the course of its training.

    Attributes:
        flops: (points,) operations spent so far, rising.
        scores: score at each point, lower is better; paired with those of other curves.
    """

    flops: list[float]
    scores: list[Estimate]

    @property
    def table(self) -> np.ndarray:
        """Scores of (points, 1 + resamples), whose first column uses all clips as they are."""
        return np.array([np.concatenate([[s.value], s.resamples]) for s in self.scores])


def equal_score_ratio(ours: CostCurve, theirs: CostCurve) -> Estimate:
    """Divide the operations that ours needs for a score by those that theirs needs for it.

    The score is one that both reach: the worse of the two final scores, with the weights chosen on
    validation, determined again in every resample. Between two points of a curve, the score is
    assumed to be linear in the logarithm of the operations. A curve that starts below the score has
    reached it at its first point.
    """
    curves = (ours, theirs)
    target = np.max([curve.table[-1] for curve in curves], axis=0)
    first, second = (operations_to(curve, target) for curve in curves)
    ratio = first / second
    return Estimate(float(ratio[0]), ratio[1:])


def operations_to(curve: CostCurve, target: np.ndarray) -> np.ndarray:
    """Find the (1 + resamples,) operations at which the best score so far equals the target.

    Args:
        curve: a curve that reaches the target.
        target: (1 + resamples,) scores.
    """
    best, log_flops = np.minimum.accumulate(curve.table, axis=0), np.log(curve.flops)
    after = np.argmax(best <= target, axis=0)
    before = np.maximum(after - 1, 0)
    columns = np.arange(best.shape[1])
    high, low = best[before, columns], best[after, columns]
    fall = np.where(high > low, high - low, 1.0)
    share = np.clip((high - target) / fall, 0, 1)
    share = np.where(after == 0, 1.0, share)
    return np.exp(log_flops[before] + share * (log_flops[after] - log_flops[before]))
