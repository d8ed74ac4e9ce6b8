"""What the rulings on all bets come to, the limits of controls, and the file of the rules."""

from pathlib import Path
from typing import Any

import pytest

from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.report.bets import (
    ControlCheck,
    Judgement,
    check_controls,
    informative_horizon,
    judge,
    judge_all,
    weakest_link,
)
from mimi_dynamics.report.evidence import Verdict
from mimi_dynamics.report.rules import BetParams, ControlLimits, load_bets
from mimi_dynamics.report.rulings import Ruling, rule
from mimi_dynamics.report.studies import OWN_ROW
from tests.harness import ROOT
from tests.pipeline.test_params import write_settings
from tests.report.test_rulings import BETS, NEW, OLD, RULES, YES, interval, row, table


def judged(bet: BetParams, verdict: Verdict, posterior: float = 0.5) -> Judgement:
    """A judgement without evidence."""
    ruling = Ruling(NEW, bet.rules[NEW], (), 0, verdict, verdict, posterior)
    return Judgement(bet, (ruling,))


def test_belief_moves_by_bayes_rule() -> None:
    """Up by power / false alarm, down by what is left of both, not at all if undecided."""
    rules = RULES.bet1.rules[OLD].model_copy(update={"power": 0.8, "false_alarm": 0.2})
    expected = {(0.1, 0.2): 0.8, (-0.2, -0.1): 0.2, (-0.1, 0.2): 0.5}
    for ends, posterior in expected.items():
        metrics = {"horizons": {"k1": row(ends, None)}}
        assert rule(OLD, rules, 0.5, metrics, False).posterior == pytest.approx(posterior)


@pytest.mark.parametrize("bet", BETS)
def test_what_is_not_measured_moves_nothing(bet: BetParams) -> None:
    """And has no evidence in its metrics, by the rules of either date."""
    judgement = judge(bet, {}, False)
    assert (judgement.verdict, judgement.posterior) == ("not_measured", bet.prior)
    metrics = judgement.metrics()
    for found in (metrics, metrics["rules_2026_11_28"], metrics["rules_2026_11_22"]):
        assert (found["measured"], found["supported"]) == (0, 0.5)
        assert found["posterior"] == bet.prior
        assert "evidence" not in found


@pytest.mark.parametrize("bet", BETS)
def test_failed_controls_void_every_verdict(bet: BetParams) -> None:
    """Measured or not; what the rules alone say stays known."""
    measured = {"horizons": {"k1": row(YES, None)}, **table(row(YES, YES), row(YES, YES))}
    for ruling in judge(bet, measured, True).rulings:
        assert (ruling.verdict, ruling.posterior) == ("controls_failed", bet.prior)
        assert ruling.on_paper == ("supported" if bet is RULES.bet1 else "not_measured")
        metrics = ruling.metrics()
        assert (metrics["controls_failed"], metrics["supported"]) == (1, 0.5)


def test_the_latest_rules_are_at_the_top_of_a_bet() -> None:
    """Of the run's codec, in numbers only; those of before stand beside them."""
    metrics = {"horizons": {"k1": row(YES, None)}, **table(row(YES, (0.0, 0.01)), row(YES, YES))}
    found = judge(RULES.bet1, metrics, False).metrics()
    assert [found[f"rules_{date}"]["supported"] for date in ("2026_11_28", "2026_11_22")] == [0, 1]
    assert found["supported"] == 0
    assert found["posterior"] == found["rules_2026_11_28"]["posterior"]
    assert found["rules_2026_11_22"]["trainings"] == 3
    assert found["rules_2026_11_28"]["power_measured"] == 0


def test_a_bet_on_what_is_not_there_says_so() -> None:
    """By the rules of the same date, and only those that have a premise."""
    found = judge_all(RULES, {}, False)
    assert [ruling.premise_met for ruling in found["bet3"].rulings] == [False, True]
    assert found["bet3"].rulings[0].metrics()["premise_met"] == 0
    assert "premise_met" not in found["bet2"].rulings[0].metrics()
    supported = {"bet2": judged(RULES.bet2, "supported")}
    assert judge(RULES.bet3, {}, False, supported).rulings[0].premise_met


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


DAY = f"bet1.rules.{NEW}"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("bet1.prior", 1.0, "bet1.prior = 1.0: input should be less than 1"),
        (f"{DAY}.power", 0.01, f"{DAY}: power = 0.01: must be above false_alarm = 0.05"),
        (f"{DAY}.supported_if", [], f"{DAY}.supported_if = []"),
        (f"{DAY}.trainings_at_least", 0, f"{DAY}.trainings_at_least = 0"),
        (f"{DAY}.counts_if", [{"key": "a"}], f"{DAY}.counts_if.0.end: missing"),
        ("bet1.rules.yesterday", {}, "must be a date in quotes, such as '2026-11-28'"),
        ("bet4.rules", {}, "bet4.rules = {}"),
        (f"bet4.rules.{OLD}", ..., f"bet4.rules are of {NEW}: must be of the same dates as"),
        (f"bet4.rules.{OLD}.premise", "bet4", "'none', 'bet1', 'bet2' or 'bet3'"),
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


def test_a_date_without_quotes_is_named(tmp_path: Path) -> None:
    """It is a date to YAML, and no name."""
    path = tmp_path / "bets.yaml"
    path.write_text((ROOT / "bets.yaml").read_text().replace(f'"{NEW}"', NEW), encoding="utf-8")
    with pytest.raises(InputError, match="in quotes") as caught:
        load_bets(path)
    assert "\n" not in str(caught.value)


def test_priors_are_those_of_the_start() -> None:
    assert [bet.prior for bet in BETS] == [0.55, 0.65, 0.45, 0.25]


def test_the_stage_depends_on_what_it_may_read() -> None:
    """All that a stage found that the page tells of, and every figure in git."""
    stages = load_stages(ROOT / "dvc.yaml")
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
    wanted.add(OWN_ROW.as_posix())  # whose origin tells which studies are of today
    rules = [
        rules for bet in load_bets(ROOT / "bets.yaml").bets.values() for rules in bet.rules.values()
    ]
    judged = {detail_path(of.metrics) for of in rules if of.study}
    wanted |= {path.as_posix() for path in judged if (ROOT / path).exists()}
    assert wanted == {name for name in found if name.startswith("metrics/")}
    assert "plots" in found
