"""Score against training cost, and what it takes to reach an equal score."""

from dataclasses import dataclass

import numpy as np

from mimi_dynamics.evidence.bootstrap import Estimate


@dataclass(frozen=True)
class CostCurve:
    """Scores of a contender as its training goes on.

    Attributes:
        flops: (points,) operations spent, rising.
        scores: at each point, lower is better; paired with those of other curves.
    """

    flops: list[float]
    scores: list[Estimate]

    @property
    def table(self) -> np.ndarray:
        """Scores of (points, 1 + resamples); the first column is of all clips as they are."""
        return np.array([np.concatenate([[s.value], s.resamples]) for s in self.scores])


def equal_score_ratio(ours: CostCurve, theirs: CostCurve) -> Estimate:
    """Divide the operations that ours takes by those that theirs takes to a score that both reach.

    That is the worse of the two last ones, of the weights that validation chose, in every resample
    anew. Between two points of a curve the score is taken to be linear in the logarithm of the
    operations; a curve that starts below the score has reached it at its first point.
    """
    curves = (ours, theirs)
    target = np.max([curve.table[-1] for curve in curves], axis=0)
    first, second = (operations_to(curve, target) for curve in curves)
    ratio = first / second
    return Estimate(float(ratio[0]), ratio[1:])


def operations_to(curve: CostCurve, target: np.ndarray) -> np.ndarray:
    """Find the operations, (1 + resamples,), at which the best score so far is the target.

    Args:
        curve: that reaches it.
        target: (1 + resamples,).
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
