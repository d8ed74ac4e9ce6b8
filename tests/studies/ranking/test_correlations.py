"""Ranks agree as they should, and the interval of their correlation covers."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.studies.ranking.correlations import (
    LEAST_SETS,
    OUTCOMES,
    between_trainings,
    interval_of,
    least_telling,
    rank,
    rank_correlation,
)
from mimi_dynamics.studies.ranking.measures import MEASURES
from mimi_dynamics.studies.ranking.sets import SETS
from tests.harness import ROOT


def test_same_and_opposite_order() -> None:
    values = np.arange(8.0)
    for sign in (1, -1):
        found = rank_correlation(values, sign * values**3)
        assert found["rho"] == pytest.approx(sign)
        ends = sorted(abs(found[f"rho_ci_{end}"]) for end in ("low", "high"))
        assert ends[0] > 0.95
        assert ends[1] == pytest.approx(1)
        assert found["sets"] == 8


@pytest.mark.parametrize("sets", [8, 16])
def test_the_interval_leaves_out_zero_from_there_on(sets: int) -> None:
    least = least_telling(sets)
    assert interval_of(least - 0.01, sets)[0] < 0 < interval_of(least + 0.01, sets)[0]


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("sets", [8, 16])
def test_the_interval_covers(rho: float, sets: int) -> None:
    """Of normal pairs, whose Spearman correlation is (6/π) asin(ρ/2)."""
    truth, random, covered = 6 / math.pi * math.asin(rho / 2), np.random.default_rng(0), 0
    draws = 1000
    for _ in range(draws):
        first, noise = random.standard_normal((2, sets))
        found = rank_correlation(first, rho * first + math.sqrt(1 - rho**2) * noise)
        covered += found["rho_ci_low"] <= truth <= found["rho_ci_high"]
    tolerance = norm.ppf(0.999) * math.sqrt(0.95 * 0.05 / draws)
    assert covered / draws == pytest.approx(0.95, abs=tolerance + 0.025)


def test_too_few_sets_and_ties_have_no_correlation() -> None:
    few = np.arange(LEAST_SETS - 1.0)
    assert rank_correlation(few, few) == {"sets": LEAST_SETS - 1}
    assert rank_correlation(np.ones(9), np.arange(9.0)) == {"sets": 9}
    assert rank_correlation(np.zeros(0), np.zeros(0)) == {"sets": 0}


def test_two_trainings_bound_what_a_measure_can_do() -> None:
    random = np.random.default_rng(0)
    same = {
        f"s{number}": {"by_training": {t: dict.fromkeys(OUTCOMES, number) for t in ("t0", "t1")}}
        for number in range(8)
    }
    noise = {
        name: {"by_training": {t: dict.fromkeys(OUTCOMES, random.normal()) for t in ("t0", "t1")}}
        for name in same
    }
    for outcome in OUTCOMES:
        assert between_trainings(same)[outcome]["rho"] == pytest.approx(1)
        assert abs(between_trainings(noise)[outcome]["rho"]) < 0.9
    once = {name: {"by_training": {"t0": of["by_training"]["t0"]}} for name, of in same.items()}
    assert between_trainings(once)["skill"] == {"sets": 0}


def test_signs_are_those_of_a_measure_that_ranks_right() -> None:
    """In an ideal world the better set is better by all; one that lacks a measure is left out."""
    sets = {
        f"s{number}": {key: of.sign * float(number) for key, of in (MEASURES | OUTCOMES).items()}
        for number in range(6)
    }
    del sets["s3"]["r2"]
    found = rank(sets)
    for outcome in OUTCOMES:
        for measure in MEASURES:
            assert found[outcome][measure]["rho"] == pytest.approx(1)
            assert found[outcome][measure]["sets"] == (5 if measure == "r2" else 6)


def test_families_of_sets_make_the_interval_too_narrow() -> None:
    """Of no association, with the study's sets, alike where of one codec: 1 of 7 above 0."""
    rows = [SETS[name].row for name in load_params(ROOT / "params.yaml").ranking_study.sets]
    families = np.unique(rows, return_inverse=True)[1]
    assert len(families) == 16
    random, above = np.random.default_rng(0), 0
    draws = 1000
    for _ in range(draws):
        first, second = random.normal(size=(2, 4))[:, families] + 0.3 * random.normal(size=(2, 16))
        above += rank_correlation(first, second)["rho_ci_low"] > 0
    assert above / draws == pytest.approx(1 / 7, abs=0.035)
