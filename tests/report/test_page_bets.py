"""The bets on the page: both verdicts of each in one row, and what a reader must know of them."""

from pathlib import Path
from typing import Any

import pytest

from mimi_dynamics.report.meanings import meaning
from tests.report.conftest import all_metrics, built, card, verdicts_of
from tests.report.test_rulings import BETS, BORNE, NEW, RULES, interval


def with_row(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """All metrics, with another row of the run's codec."""
    metrics = all_metrics()
    metrics["codec_table"]["codec"] |= changes
    return metrics


def test_both_verdicts_stand_in_one_row(folder: Path) -> None:
    """With the codec, trainings and the likelihood ratio."""
    page = built(folder, with_row(**interval(BORNE, 0.0, 0.01)))
    told = card(page, 1)
    assert told.count('<div class="rulings">') == 1
    assert verdicts_of(page, 1) == ["contradicted", "supported"]
    for text in ("rules of 2026-11-28", "rules of 2026-11-22", "likelihood ratio 18: power 0.9 "):
        assert text in told
    assert told.count("3 trainings · likelihood") == 2
    for known in ("measured", "assumed"):  # of the rules of each date
        assert told.count(f"(assumed) / false alarm 0.05 ({known})") == 1
    assert f"{meaning(f'codec.{BORNE}')}: 0.005 [0.000, 0.010], must be at least 0.05" in told


def test_what_was_measured_of_the_rules_is_not_called_assumed(folder: Path) -> None:
    """By bet and date."""
    known = RULES.bet1.rules[NEW].model_copy(update={"power_measured": True})
    bet = RULES.bet1.model_copy(update={"rules": {**RULES.bet1.rules, NEW: known}})
    told = card(built(folder, all_metrics(), bets=RULES.model_copy(update={"bet1": bet})), 1)
    assert told.count("power 0.9 (measured) / false alarm 0.05 (measured)") == 1
    assert told.count("power 0.9 (assumed) / false alarm 0.05 (assumed)") == 1


def test_the_reason_for_what_is_not_measured_is_told(folder: Path) -> None:
    page = built(folder, with_row(**{f"{BORNE}_trainings": 2}))
    assert verdicts_of(page, 1) == ["not measured", "supported"]
    assert "Not measured: it is of 2 trainings, and 3 are asked for." in card(page, 1)
    assert "Measure it anew: it is of 2 trainings" in " ".join(page.split())
    alone = all_metrics()
    del alone["codec_table"]["codec"]["test_voice"]
    assert "Not measured: no voice is held out." in card(built(folder, alone), 1)
    assert "Not measured: its study has not been run." in card(built(folder, alone), 2)


def test_remarks_on_rules_stand_beside_their_verdict(folder: Path) -> None:
    """A rule that was changed after a result, the ways to be supported, a premise not met."""
    study = {"z_dyn": {}, "planted": {"n0_02": {"found_share": 1.0}}, "trainings": 5}
    for over in ("", "over_shuffled_keys_", "over_one_row_"):
        study["z_dyn"] |= interval(f"help_{over}nats_per_frame", 0.1, 0.2)
    page = built(folder, all_metrics() | {"bet3_study": study})
    assert verdicts_of(page, 3)[0] == "supported"
    assert "Premise not met: bet 2 is not supported." in card(page, 3)
    assert "redefined once after a result (commit 9da0b3b)" in card(page, 4)
    assert (
        "Supported if energy score over all leads, ours / CALM is below 1, or if operations of "
        "training to an equal energy score, ours / CALM is below 1." in card(page, 4)
    )


def test_controls_that_failed_stand_above_everything(folder: Path, html: str) -> None:
    """And in the place of every verdict; no belief moves."""
    assert "Controls failed" not in html
    failed = built(folder, all_metrics(), limits=1.0)
    assert failed.index("Controls failed") < failed.index("<section")
    for number_, bet in enumerate(BETS, 1):
        assert verdicts_of(failed, number_) == ["controls failed"] * 2
        assert card(failed, number_).count(f"<b>{100 * bet.prior:.0f} %</b>") == 2
    assert "Its rules alone would say: supported." in failed


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.01, 0.02), None),
        ((-0.01, 0.02), "the state is not surely easier than"),
        ((-2, -1), "the state is harder to predict than"),
    ],
)
def test_ease_that_is_the_encoders_own_doing_is_told_beside_the_verdict(
    folder: Path, ends: tuple[float, float], words: str | None
) -> None:
    metrics = all_metrics()
    metrics["rssm"] |= interval("dynamic_ease_over_raw", *ends)
    page = built(folder, metrics)
    assert page.count("Its rules do not ask whose doing") == (words is not None)
    if words:
        assert words in card(page, 2)
