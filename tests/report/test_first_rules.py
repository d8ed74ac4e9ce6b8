"""Known answers of the rules of 2026-11-22, on every side of every threshold."""

import pytest

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.report.bets import judge
from tests.report.test_rulings import DYNAMIC, OLD, RULES, Ends, interval, row, ruling


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ((0.051, 0.2), "supported"),
        ((0.04, 0.06), "inconclusive"),
        ((0.05, 0.06), "inconclusive"),
        ((0.04, 0.05), "inconclusive"),
        ((-0.3, 0.049), "contradicted"),
    ],
)
def test_bet_1_of_old_needs_the_whole_interval_above_its_threshold(
    ends: Ends, verdict: str
) -> None:
    """Of as many trainings as there are."""
    metrics = {"horizons": {"k1": row(ends, None, 2)}}
    found = ruling(1, OLD, metrics)
    assert (found.verdict, found.trainings) == (verdict, 2)


@pytest.mark.parametrize(
    ("ends", "collapsed", "verdict"),
    [
        ((0.01, 0.02), 0, "supported"),
        ((0.01, 0.02), 1, "contradicted"),
        ((-0.01, 0.02), 0, "inconclusive"),
        ((-0.01, 0.02), 1, "contradicted"),
        ((-0.02, -0.01), 0, "contradicted"),
    ],
)
def test_bet_2_of_old_is_above_the_frontier_and_not_collapsed(
    ends: Ends, collapsed: int, verdict: str
) -> None:
    metrics = {"rssm": interval("ease_above_frontier", *ends) | {"collapsed": collapsed}}
    found = ruling(2, OLD, metrics)
    assert (found.verdict, found.trainings) == (verdict, 0)
    assert "trainings" not in found.metrics()


@pytest.mark.parametrize(
    ("over_shuffled", "over_dense", "verdict"),
    [
        ((0.1, 0.2), (0.1, 0.2), "supported"),
        ((0.1, 0.2), (-0.1, 0.2), "inconclusive"),
        ((0.1, 0.2), (-0.2, -0.1), "contradicted"),
        ((-0.2, -0.1), (0.1, 0.2), "contradicted"),
    ],
)
def test_bet_3_of_old_helps_over_both_rivals(
    over_shuffled: Ends, over_dense: Ends, verdict: str
) -> None:
    rivals = interval("help_over_shuffled_keys_nats_per_frame", *over_shuffled)
    metrics = {"engram": {"z_dyn": rivals | interval("help_nats_per_frame", *over_dense)}}
    assert ruling(3, OLD, metrics).verdict == verdict


@pytest.mark.parametrize(
    ("quality", "cost", "verdict"),
    [
        ((0.8, 0.9), (1.1, 1.2), "supported"),
        ((1.1, 1.2), (0.8, 0.9), "supported"),
        ((0.9, 1.1), (1.1, 1.2), "inconclusive"),
        ((1.1, 1.2), (1.1, 1.2), "contradicted"),
    ],
)
def test_bet_4_of_old_is_won_by_quality_or_by_cost(quality: Ends, cost: Ends, verdict: str) -> None:
    ratios = interval("energy_score", *quality)
    ratios |= interval("train_flops_to_equal_energy_score", *cost)
    assert ruling(4, OLD, {"calm": {"ratio": ratios}}).verdict == verdict


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ({}, "k1.dynamic_gain_nats_per_dim_ci_low is missing"),
        ({"k1": {DYNAMIC: 0.4}}, "k1.dynamic_gain_nats_per_dim_ci_low is missing"),
        (interval(f"k1.{DYNAMIC}", float("nan"), 1), "must be a finite number"),
    ],
)
def test_metrics_without_what_a_rule_reads_are_named(metrics: dict, problem: str) -> None:
    """In one line."""
    with pytest.raises(InputError, match=problem) as caught:
        judge(RULES.bet1, {"horizons": metrics}, False)
    assert str(caught.value).startswith("metrics/detail/horizons.json: ")
