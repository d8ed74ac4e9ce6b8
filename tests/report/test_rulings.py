"""Known answers of the rules of 2026-11-28, on every side of every threshold."""

from typing import Any

import pytest

from mimi_dynamics.report.rules import load_bets
from mimi_dynamics.report.rulings import Ruling, rule
from tests.harness import ROOT

RULES = load_bets(ROOT / "bets.yaml")
BETS = tuple(RULES.bets.values())
OLD, NEW = "2026-11-22", "2026-11-28"
DYNAMIC, BORNE = "dynamic_gain_nats_per_dim", "speech_borne_gain_nats_per_dim"
Ends = tuple[float, float]


def nested(key: str, values: dict[str, Any]) -> dict[str, Any]:
    """Values below a dotted key."""
    for part in reversed(key.split(".")):
        values = {part: values}
    return values


def interval(key: str, low: float, high: float) -> dict[str, Any]:
    """Metrics with one number and its interval at a dotted key."""
    *path, last = key.split(".")
    ends = {last: (low + high) / 2, f"{last}_ci_low": low, f"{last}_ci_high": high}
    return nested(".".join(path), ends) if path else ends


def row(dynamic: Ends, borne: Ends | None, trainings: int = 3) -> dict[str, Any]:
    """What `codec_table` has of one split of a codec."""
    found = interval(DYNAMIC, *dynamic) | {f"{DYNAMIC}_trainings": trainings}
    if borne:
        found |= interval(BORNE, *borne) | {f"{BORNE}_trainings": trainings}
    return found


def table(test: dict[str, Any], held_out: dict[str, Any] | None) -> dict[str, Any]:
    """The metrics of `codec_table` with the row of the run's codec."""
    return {"codec_table": {"codec": test | ({"test_voice": held_out} if held_out else {})}}


def ruling(bet: int, date: str, metrics: dict[str, Any]) -> Ruling:
    """What the rules of a date say of a bet."""
    of = BETS[bet - 1]
    return rule(date, of.rules[date], of.prior, metrics, False)


YES, OPEN, NO = (0.1, 0.2), (0.04, 0.06), (0.01, 0.049)


@pytest.mark.parametrize(
    ("test", "held_out", "verdict"),
    [
        ((YES, YES), (YES, YES), "supported"),
        ((YES, (0.05, 0.06)), (YES, YES), "supported"),
        ((YES, OPEN), (YES, YES), "inconclusive"),
        ((YES, YES), (YES, OPEN), "inconclusive"),
        ((YES, (0.04, 0.05)), (YES, YES), "inconclusive"),
        ((YES, NO), (YES, YES), "contradicted"),
        ((NO, YES), (YES, YES), "contradicted"),
        ((YES, YES), (YES, NO), "contradicted"),
        ((OPEN, YES), (NO, YES), "contradicted"),
    ],
)
def test_bet_1_asks_for_both_gains_on_both_splits(
    test: tuple[Ends, Ends], held_out: tuple[Ends, Ends], verdict: str
) -> None:
    found = ruling(1, NEW, table(row(*test), row(*held_out)))
    assert (found.verdict, found.trainings, found.reason) == (verdict, 3, "")


def test_the_smaller_gain_is_the_evidence() -> None:
    found = ruling(1, NEW, table(row((0.2, 0.3), (0.1, 0.16)), row((0.2, 0.3), (0.12, 0.14))))
    assert found.weakest is not None
    assert found.weakest.key == f"codec.{BORNE}"
    metrics = found.metrics()
    assert (metrics["evidence"], metrics["evidence_ci_low"]) == (pytest.approx(0.13), 0.1)
    assert metrics["likelihood_ratio"] == pytest.approx(18)
    assert [metrics[f"key{number}"]["evidence_ci_low"] for number in (1, 2, 3, 4)] == [
        *(0.2, 0.1),
        *(0.2, 0.12),
    ]


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        (table(row(YES, YES, 2), row(YES, YES, 3)), "it is of 2 trainings, and 3 are asked for"),
        (table(row(YES, YES), row(YES, YES, 1)), "it is of 1 training, and 3 are asked for"),
        (table(row(YES, YES), None), "no voice is held out"),
        (table(row(YES, None), row(YES, None)), "this codec has no speech-borne gain"),
        ({"codec_table": {"not_todays": {}}}, "the row of this codec is of other weights, clips"),
        ({}, "codec_table has not been run"),
    ],
)
def test_what_does_not_count_is_not_measured(metrics: dict[str, Any], reason: str) -> None:
    """With the reason in words, and belief stays where it was."""
    found = ruling(1, NEW, metrics)
    assert (found.verdict, found.posterior) == ("not_measured", RULES.bet1.prior)
    assert found.reason.startswith(reason)
    said = found.metrics()
    assert (said["measured"], said["supported"]) == (0, 0.5)
    assert ("evidence" in said) == ("asked for" in reason)


@pytest.mark.parametrize("bet", [2, 3, 4])
def test_a_study_that_nobody_has_run_is_not_measured(bet: int) -> None:
    found = ruling(bet, NEW, {"rssm": {}, "engram": {}, "calm": {}})
    assert (found.verdict, found.reason) == ("not_measured", "its study has not been run")
    assert found.posterior == BETS[bet - 1].prior


@pytest.mark.parametrize(
    ("over_rivals", "sufficiency", "collapsed", "verdict"),
    [
        ((0.05, 0.1), (-0.02, 0.1), 0, "supported"),
        ((0.05, 0.1), (-0.03, 0.1), 0, "inconclusive"),
        ((0.05, 0.1), (-0.02, 0.1), 1, "inconclusive"),
        ((0.02, 0.05), (0.1, 0.2), 0, "inconclusive"),
        ((0.02, 0.04), (0.1, 0.2), 0, "contradicted"),
    ],
)
def test_bet_2_is_over_all_rivals_and_keeps_as_much(
    over_rivals: Ends, sufficiency: Ends, collapsed: int, verdict: str
) -> None:
    found = interval("dynamic_ease_over_rivals", *over_rivals) | {"trainings": 5}
    found |= interval("sufficiency_over_pca", *sufficiency) | {"collapsed": collapsed}
    assert ruling(2, NEW, {"bet2_study": found}).verdict == verdict
    assert ruling(2, NEW, {"bet2_study": found | {"trainings": 4}}).verdict == "not_measured"


@pytest.mark.parametrize(
    ("over_dense", "over_one_row", "planted_found", "verdict"),
    [
        ((0.001, 0.03), (0.01, 0.02), 0.0, "supported"),
        ((0.001, 0.003), (0.01, 0.02), 1.0, "contradicted"),
        ((0.001, 0.003), (0.01, 0.02), 0.6, "inconclusive"),
        ((0.001, 0.03), (-0.01, 0.02), 1.0, "inconclusive"),
        ((-0.2, -0.1), (-0.1, 0.0), 0.8, "contradicted"),
    ],
)
def test_bet_3_needs_power_for_a_no(
    over_dense: Ends, over_one_row: Ends, planted_found: float, verdict: str
) -> None:
    z_dyn = interval("help_nats_per_frame", *over_dense)
    z_dyn |= interval("help_over_shuffled_keys_nats_per_frame", 0.01, 0.02)
    z_dyn |= interval("help_over_one_row_nats_per_frame", *over_one_row)
    found = {"z_dyn": z_dyn, "trainings": 5}
    found["planted"] = {"n0_02": {"found_share": planted_found}}
    assert ruling(3, NEW, {"bet3_study": found}).verdict == verdict


@pytest.mark.parametrize(
    ("score", "cost", "verdict"),
    [
        ((0.9, 0.99), 3.0, "supported"),
        ((1.0, 1.015), 0.5, "supported"),
        ((1.0, 1.015), 0.6, "inconclusive"),
        ((1.001, 1.015), 0.6, "contradicted"),
        ((1.001, 1.03), 0.4, "inconclusive"),
    ],
)
def test_bet_4_is_won_by_quality_or_by_cost_at_nearly_the_same(
    score: Ends, cost: float, verdict: str
) -> None:
    ratio = interval("energy_score_leads_1_2", *score) | {"generation_operations": cost}
    ratio |= {"parameters": 1.02, "train_operations": 0.95}
    metrics = {"bet4_study": {"ratio": ratio, "trainings": 3}}
    assert ruling(4, NEW, metrics).verdict == verdict
    ratio["train_operations"] = 0.9
    unequal = ruling(4, NEW, metrics)
    assert unequal.verdict == "not_measured"
    assert unequal.reason == "ratio.train_operations is 0.9, and must be at least 0.95"
