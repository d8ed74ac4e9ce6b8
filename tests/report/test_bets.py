"""Verdicts on every side of every rule, and what they do to belief."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.report.bets import (
    ControlCheck,
    Judgement,
    Verdict,
    check_controls,
    informative_horizon,
    judge,
    weakest_link,
)
from mimi_dynamics.report.rules import BetParams, ControlLimits, load_bets
from tests.harness import ROOT
from tests.pipeline.test_params import write_settings

RULES = load_bets(ROOT / "bets.yaml")
BETS = (RULES.bet1, RULES.bet2, RULES.bet3, RULES.bet4)


def interval(key: str, low: float, high: float) -> dict[str, Any]:
    """Metrics with one number and its interval at a dotted key."""
    *path, last = key.split(".")
    metrics: dict[str, Any] = {
        last: (low + high) / 2,
        f"{last}_ci_low": low,
        f"{last}_ci_high": high,
    }
    for part in reversed(path):
        metrics = {part: metrics}
    return metrics


def judged(bet: BetParams, verdict: Verdict, posterior: float = 0.5) -> Judgement:
    """A judgement without evidence."""
    return Judgement(bet, (), verdict, verdict, posterior)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.051, 0.2, "supported"),
        (0.04, 0.06, "inconclusive"),
        (0.05, 0.06, "inconclusive"),
        (0.04, 0.05, "inconclusive"),
        (-0.3, 0.049, "contradicted"),
    ],
)
def test_bet_1_needs_the_whole_interval_above_its_threshold(
    low: float, high: float, verdict: str
) -> None:
    metrics = {"horizons": interval("k1.dynamic_gain_nats_per_dim", low, high)}
    assert judge(RULES.bet1, metrics, False).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "collapsed", "verdict"),
    [
        (0.01, 0.02, 0, "supported"),
        (0.01, 0.02, 1, "contradicted"),
        (-0.01, 0.02, 0, "inconclusive"),
        (-0.01, 0.02, 1, "contradicted"),
        (-0.02, -0.01, 0, "contradicted"),
    ],
)
def test_bet_2_is_above_the_frontier_and_not_collapsed(
    low: float, high: float, collapsed: int, verdict: str
) -> None:
    metrics = {"rssm": interval("ease_above_frontier", low, high) | {"collapsed": collapsed}}
    assert judge(RULES.bet2, metrics, False).verdict == verdict


@pytest.mark.parametrize(
    ("over_shuffled", "over_dense", "verdict"),
    [
        ((0.1, 0.2), (0.1, 0.2), "supported"),
        ((0.1, 0.2), (-0.1, 0.2), "inconclusive"),
        ((0.1, 0.2), (-0.2, -0.1), "contradicted"),
        ((-0.2, -0.1), (0.1, 0.2), "contradicted"),
    ],
)
def test_bet_3_helps_over_both_rivals(
    over_shuffled: tuple[float, float], over_dense: tuple[float, float], verdict: str
) -> None:
    rivals = interval("help_over_shuffled_keys_nats_per_frame", *over_shuffled)
    metrics = {"engram": {"z_dyn": rivals | interval("help_nats_per_frame", *over_dense)}}
    assert judge(RULES.bet3, metrics, False).verdict == verdict


@pytest.mark.parametrize(
    ("quality", "cost", "verdict"),
    [
        ((0.8, 0.9), (1.1, 1.2), "supported"),
        ((1.1, 1.2), (0.8, 0.9), "supported"),
        ((0.9, 1.1), (1.1, 1.2), "inconclusive"),
        ((1.1, 1.2), (1.1, 1.2), "contradicted"),
    ],
)
def test_bet_4_is_won_by_quality_or_by_cost(
    quality: tuple[float, float], cost: tuple[float, float], verdict: str
) -> None:
    ratios = interval("energy_score", *quality)
    ratios |= interval("train_flops_to_equal_energy_score", *cost)
    assert judge(RULES.bet4, {"calm": {"ratio": ratios}}, False).verdict == verdict


def test_belief_moves_by_bayes_rule() -> None:
    """Up by power / false alarm, down by what is left of both, not at all if undecided."""
    bet = RULES.bet1.model_copy(update={"prior": 0.5, "power": 0.8, "false_alarm": 0.2})
    expected = {(0.1, 0.2): 0.8, (-0.2, -0.1): 0.2, (-0.1, 0.2): 0.5}
    for ends, posterior in expected.items():
        metrics = {"horizons": interval("k1.dynamic_gain_nats_per_dim", *ends)}
        assert judge(bet, metrics, False).posterior == pytest.approx(posterior)


@pytest.mark.parametrize("bet", BETS)
def test_what_is_not_measured_moves_nothing(bet: BetParams) -> None:
    """And has no evidence in its metrics."""
    judgement = judge(bet, {}, False)
    assert (judgement.verdict, judgement.posterior) == ("not_measured", bet.prior)
    metrics = judgement.metrics()
    assert (metrics["measured"], metrics["supported"]) == (0, 0.5)
    assert "evidence" not in metrics


@pytest.mark.parametrize("bet", BETS)
def test_failed_controls_void_every_verdict(bet: BetParams) -> None:
    """Measured or not; what the rules alone say stays known."""
    measured = {"horizons": interval("k1.dynamic_gain_nats_per_dim", 0.4, 0.5)}
    judgement = judge(bet, measured, True)
    assert (judgement.verdict, judgement.posterior) == ("controls_failed", bet.prior)
    assert judgement.on_paper == ("supported" if bet is RULES.bet1 else "not_measured")
    metrics = judgement.metrics()
    assert (metrics["controls_failed"], metrics["supported"]) == (1, 0.5)


def test_metrics_hold_every_rule() -> None:
    """The first as evidence of the bet, all of them by number where there is more than one."""
    rssm = interval("ease_above_frontier", 0.01, 0.03) | {"collapsed": 1}
    metrics = judge(RULES.bet2, {"rssm": rssm}, False).metrics()
    assert (metrics["evidence"], metrics["evidence_ci_low"]) == (0.02, 0.01)
    assert metrics["rule1"]["supported"] == 1
    assert (metrics["rule2"]["evidence"], metrics["rule2"]["supported"]) == (1, 0)
    assert metrics["supported"] == 0


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ({}, "k1.dynamic_gain_nats_per_dim_ci_low is"),
        (
            {"k1": {"dynamic_gain_nats_per_dim": 0.4}},
            "k1.dynamic_gain_nats_per_dim_ci_low is",
        ),
        (interval("k1.dynamic_gain_nats_per_dim", float("nan"), 1), "must be a finite number"),
    ],
)
def test_metrics_without_what_a_rule_reads_are_named(metrics: dict, problem: str) -> None:
    """In one line."""
    with pytest.raises(InputError, match=problem) as caught:
        judge(RULES.bet1, {"horizons": metrics}, False)
    assert str(caught.value).startswith("metrics/detail/horizons.json: ")


def test_controls_have_limits() -> None:
    """On what is there, and on what is not."""
    limits = ControlLimits(least_recovered=0.97, most_null_nats_per_dim=0.005)
    good = {
        "linear": {"estimated_nats_per_dim": 0.5, **interval("recovered", 0.94, 0.97)},
        "white_noise": {"estimated_nats_per_dim": 0.005},
        "held_out": {"memory": {"estimated_nats_per_dim": 0.1, "recovered": 0.2}},
    }
    assert check_controls(good, limits) == ControlCheck({}, {})
    assert not check_controls(good, limits).failed
    short = good | {"memory": {"estimated_nats_per_dim": 0.4, "recovered": 0.96}}
    assert check_controls(short, limits) == ControlCheck({"memory": 0.96}, {})
    for result in (0.006, -0.006):
        false = good | {"white_noise": {"estimated_nats_per_dim": result}}
        assert check_controls(false, limits).false == {"white_noise": result}
        assert check_controls(false, limits).failed


def test_information_ends_at_the_first_distance_without() -> None:
    """Whatever chance makes of a longer one."""
    ends = {"k1": 0.4, "k2": 0.1, "k10": 0.02, "k16": 0.001, "k64": 0.03}
    name = "dynamic_gain_nats_per_dim"
    metrics = {k: interval(name, low, low + 0.1) for k, low in ends.items()} | {"kept_ms": 99}
    assert informative_horizon(metrics, 0.005) == 10
    assert informative_horizon(metrics, 0.5) == 0


@pytest.mark.parametrize(
    ("verdicts", "weakest"),
    [
        (["supported", "supported", "not_measured", "not_measured"], 3),
        (["supported", "inconclusive", "not_measured", "not_measured"], 2),
        (["supported", "inconclusive", "contradicted", "not_measured"], 3),
        (["supported", "supported", "supported", "supported"], 4),
        (["controls_failed"] * 4, 0),
    ],
)
def test_the_chain_breaks_where_it_is_weakest(verdicts: list[Verdict], weakest: int) -> None:
    found = [judged(bet, v, bet.prior) for bet, v in zip(BETS, verdicts, strict=True)]
    assert weakest_link(found) == weakest


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("bet1.prior", 1.0, "bet1.prior = 1.0: input should be less than 1"),
        ("bet1.power", 0.01, "bet1: power = 0.01: must be above false_alarm = 0.05"),
        ("bet1.rules", [], "bet1.rules = []"),
        ("bet4.needs", "most", "'all' or 'any'"),
        ("bet5", {}, "bet5: unknown setting"),
        ("controls.least_recovered", 1.5, "controls.least_recovered = 1.5"),
        ("controls", ..., "controls: missing"),
    ],
)
def test_wrong_rules_are_named(tmp_path: Path, key: str, value: Any, problem: str) -> None:  # noqa: ANN401
    """In one line that names the file too."""
    path = write_settings(tmp_path, "bets.yaml", key, value)
    with pytest.raises(InputError) as caught:
        load_bets(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_priors_are_those_of_the_start() -> None:
    assert [bet.prior for bet in BETS] == [0.55, 0.65, 0.45, 0.25]


def test_the_stage_depends_on_what_it_may_read() -> None:
    """All that a stage found that the page tells of, and every figure in git."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    found = set(stages.pop("bets")["deps"])
    studies = {name for name, stage in stages.items() if stage.get("frozen")} - {"codec"}
    outs = [
        stage.get("metrics", []) + stage.get("outs", [])
        for name, stage in stages.items()
        if name not in studies
    ]
    names = {name for entries in outs for out in entries if isinstance(out, dict) for name in out}
    silent = {f"metrics/detail/{name}.json" for name in ("encode", "normalize")}
    silent.add("metrics/detail/codec_rows/${item.row}.json")  # `codec_table` has them
    wanted = {name for name in names if name.startswith("metrics/detail/")} - silent
    assert wanted == {name for name in found if name.startswith("metrics/")}
    assert "plots" in found
