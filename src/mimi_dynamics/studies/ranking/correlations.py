"""Rank correlations of measures with what a generator makes of the latents."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, spearmanr

from mimi_dynamics.evidence.bootstrap import COVERAGE
from mimi_dynamics.studies.ranking.measures import MEASURES, Measure

OUTCOMES = {
    "frechet": Measure("Fréchet distance to recordings", -1),
    "skill": Measure("skill, recordings", 1),
    "skill_of_generator": Measure("skill, decoded latents", 1),
}
LEAST_SETS = 4  # below which there is no interval


def rank_correlation(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Give Spearman's ρ with its 95 % interval, see `interval_of`.

    Args:
        first: (n,) values.
        second: (n,) values.

    Returns:
        `rho`, `rho_ci_low`, `rho_ci_high` and `sets`, which is n; the last alone if n is below
        `LEAST_SETS`, or all values of a side are the same.
    """
    count = len(first)
    sides = np.ptp(first) if count else 0.0, np.ptp(second) if count else 0.0
    if count < LEAST_SETS or 0.0 in sides:
        return {"sets": count}
    rho = float(spearmanr(first, second).statistic)
    low, high = interval_of(rho, count)
    return {"rho": rho, "rho_ci_low": low, "rho_ci_high": high, "sets": count}


def interval_of(rho: float, count: int) -> tuple[float, float]:
    """Give the 95 % interval of a rank correlation of `count` sets.

    It is that of Fisher's z = artanh ρ with the standard error √[(1 + ρ²/2) / (n − 3)] (Bonett &
    Wright 2000, Psychometrika 65, 23–28). It takes the sets for a sample of independent ones.
    """
    z = math.atanh(np.clip(rho, -0.999, 0.999))  # of 1 it would be infinite
    half = norm.ppf((1 + COVERAGE) / 2) * math.sqrt((1 + rho**2 / 2) / (count - 3))
    return min(rho, math.tanh(z - half)), max(rho, math.tanh(z + half))


def least_telling(count: int) -> float:
    """Give the ρ above which the interval of `count` sets leaves out 0."""
    return float(brentq(lambda rho: interval_of(rho, count)[0], 0, 0.999))


def rank(sets: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Correlate all measures with all outcomes, over those sets of which both are known.

    Args:
        sets: measures and outcomes by name of the set.

    Returns:
        Correlations by outcome and measure. They are positive where a measure ranks as it should:
        more gain and less variance of the velocity with less distance and more skill.
    """
    return {
        outcome: {
            measure: _of(sets, measure, of.sign, outcome, judged.sign)
            for measure, of in MEASURES.items()
        }
        for outcome, judged in OUTCOMES.items()
    }


def between_trainings(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give the rank correlation of the first two trainings, which bounds that of any measure.

    Args:
        sets: what each set got, by name, with `by_training`.
    """
    found = {}
    for outcome in OUTCOMES:
        known = [of["by_training"] for of in sets.values() if "t1" in of["by_training"]]
        first, second = (np.array([of[t][outcome] for of in known]) for t in ("t0", "t1"))
        found[outcome] = rank_correlation(first, second)
    return found


def _of(
    sets: Mapping[str, Mapping[str, float]], measure: str, sign: int, outcome: str, judged: int
) -> dict[str, float]:
    known = [of for of in sets.values() if measure in of and outcome in of]
    first = np.array([sign * of[measure] for of in known])
    second = np.array([judged * of[outcome] for of in known])
    return rank_correlation(first, second)
