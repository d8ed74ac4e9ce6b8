"""Alarms are counted by the rules that judge the bet."""

import pytest

from mimi_dynamics.report.alarms import alarms
from mimi_dynamics.report.rules import load_bets
from tests.harness import ROOT

KEYS = ("dynamic_gain_nats_per_dim", "speech_borne_gain_nats_per_dim")


def row(low: float, high: float) -> dict[str, object]:
    """What was measured of a corpus, the same on both splits."""
    numbers = {
        f"{key}{end}": value
        for key in KEYS
        for end, value in (("", (low + high) / 2), ("_ci_low", low), ("_ci_high", high))
    }
    return {**numbers, "test_voice": numbers}


def test_a_yes_is_an_alarm_and_all_are_shown() -> None:
    bet = load_bets(ROOT / "bets.yaml").bets["bet1"]
    quiet, loud = row(-0.01, 0.01), row(0.06, 0.08)
    found = alarms(bet, {"noise": {"c0": quiet, "c1": loud}, "speech": {"c0": quiet}, "none": {}})
    assert (found["corpora"], found["supported"]) == (3, 1)
    assert found["share"] == pytest.approx(1 / 3)
    assert found["share_ci_low"] == pytest.approx(0.0084, abs=1e-4)  # of tables of the binomial
    assert found["share_ci_high"] == pytest.approx(0.9057, abs=1e-4)
    assert found["noise"]["largest"]["dynamic_gain_nats_per_dim"] == pytest.approx(0.07)
    assert found["speech"]["share_ci_high"] == pytest.approx(0.975, abs=1e-4)
    each = found["noise"]["each"]["c1"]
    assert each["test_voice_speech_borne_gain_nats_per_dim_ci_low"] == pytest.approx(0.06)
    assert "none" not in found
