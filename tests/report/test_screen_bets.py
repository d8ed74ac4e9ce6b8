"""The bets on the closing screen: verdicts by the rules of two dates, beside those of a commit."""

import dataclasses
from typing import Any

from mimi_dynamics.report.screen_bets import VERDICT
from tests.report.test_closing import (
    COMMIT,
    flipped,
    judged,
    line_of,
    made_up,
    predicted,
    screen,
)


def by_date(new: dict[str, float], old: dict[str, float]) -> dict[str, Any]:
    """One bet by the rules of two dates, as `bets` writes it."""
    return {**new, "rules_2026_11_28": new, "rules_2026_11_22": old}


def test_both_verdicts_stand_in_one_row() -> None:
    """With the codec, trainings and likelihood ratio; the rates are assumed until all measured."""
    rates = {"trainings": 3, "likelihood_ratio": 18.0}
    half = {**rates, "power_measured": 0, "false_alarm_measured": 1}
    full = {**rates, "trainings": 1, "power_measured": 1, "false_alarm_measured": 1}
    mine = made_up(bets={"bet1": by_date(judged(0) | half, judged(1) | full)})
    mine = dataclasses.replace(mine, settings={"codec.name": "mimi-mini"})
    lines = screen(mine).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Bets"))
    assert lines[start].split("  ")[0] == "Bets, on mimi-mini"
    assert lines[start].endswith(f"{'rules of 2026-11-28':<{VERDICT}} rules of 2026-11-22")
    assert lines[start + 1].endswith(f"{'contradicted (25 %)':<{VERDICT}} supported (75 %)")
    assert lines[start + 2].endswith(
        f"{'3 trainings, ×18 assumed':<{VERDICT}} 1 training, ×18 measured"
    )
    assert any("power / false alarm" in line for line in lines)


def test_rules_that_the_commit_does_not_know_are_new() -> None:
    """There the verdict, by the rules of the earlier date, stood at the bet itself."""
    rows = {f"bet{number}": by_date(judged(0), judged(1)) for number in (1, 2, 3, 4)}
    mine, theirs = made_up(bets=rows), made_up(COMMIT, predict=predicted(0.41))
    assert not flipped(mine, theirs)
    assert line_of(screen(mine, theirs), "1 Claim number 1").endswith(
        f"{'contradicted (25 %), new':<{VERDICT}} supported (75 %)"
    )
    later = made_up(bets=rows | {"bet1": by_date(judged(1), judged(0.5))})
    assert flipped(later, mine) == [
        "bet 1 was contradicted, is supported (rules of 2026-11-28)",
        "bet 1 was supported, is inconclusive (rules of 2026-11-22)",
    ]
    assert "not run" in line_of(screen(theirs, mine), "1 Claim number 1")
