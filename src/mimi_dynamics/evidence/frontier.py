"""Ease against fidelity: by how much a state lies above what simple baselines ("rivals") reach.

Ease says how predictable a state is, and fidelity how much of x it keeps; `studies.rssm.measures`
computes both.
"""

from collections.abc import Sequence

import numpy as np

from mimi_dynamics.evidence.bootstrap import Estimate

Point = tuple[Estimate, Estimate]  # fidelity, ease


def frontier(rivals: Sequence[Point], fidelity: Estimate) -> Estimate:
    """Give the ease that rivals reach at a fidelity, by the best rival or the best mixture of two.

    A rival that keeps more than the given fidelity may be used as it is. Two rivals stand for every
    point on the straight line between them; this favours the rivals, because a rival at that point
    need not exist. Every bootstrap draw has its own frontier.

    Args:
        rivals: fidelity and ease of each rival.
        fidelity: the fidelity at which to look. Outside the range of the rivals, the nearest rival
            counts. Below the range this favours the state, which is why averages over many frames
            are among the rivals.
    """
    f = np.array([[point[0].value, *point[0].resamples] for point in rivals])
    e = np.array([[point[1].value, *point[1].resamples] for point in rivals])
    asked = np.minimum(np.array([fidelity.value, *fidelity.resamples]), f.max(0))
    best = np.where(f >= asked, e, -np.inf).max(0)
    for low in range(len(f)):
        for high in range(len(f)):
            between = (f[low] < asked) & (asked <= f[high])
            width = np.where(between, f[high] - f[low], 1)
            share = (asked - f[low]) / width
            mixed = e[low] + share * (e[high] - e[low])
            best = np.where(between, np.maximum(best, mixed), best)
    best = np.where(np.isnan(f + e).any(0), np.nan, best)
    return Estimate(float(best[0]), best[1:])


def above_frontier(rivals: Sequence[Point], point: Point) -> Estimate:
    """Give the ease of a state minus the ease of rivals at its fidelity.

    Args:
        rivals: fidelity and ease of each rival.
        point: fidelity and ease of the state.
    """
    return point[1] - frontier(rivals, point[0])
