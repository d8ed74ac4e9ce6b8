"""The closing screen, of results that are made up: what it says of same, moved and missing ones."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mimi_dynamics.pipeline.metrics import HEADLINES, detail_path, headline_keys
from mimi_dynamics.report.closing import Results, closing, flipped, results, written
from mimi_dynamics.report.differences import flattened
from mimi_dynamics.report.screen import FIGURES, NAME, WIDTH, changed_settings
from mimi_dynamics.report.versions import working_tree
from tests.harness import ROOT

COMMIT = "0123abc"
GAIN = "dynamic_gain_nats_per_dim"
RULES = {
    f"bet{number}.claim": f"Claim number {number} " + "of many words " * 8 for number in range(5)
}


def predicted(gain: float, half: float = 0.01) -> dict[str, float]:
    """Metrics with an interval."""
    return {GAIN: gain, f"{GAIN}_ci_low": gain - half, f"{GAIN}_ci_high": gain + half}


def judged(supported: float, measured: int = 1, controls_failed: int = 0) -> dict[str, float]:
    """What `bets` writes of one bet, as far as it is read here."""
    found = {"supported": supported, "measured": measured, "controls_failed": controls_failed}
    return {"posterior": 0.25 + supported / 2, **found}


def made_up(commit: str = "", **stages: Mapping[str, Any]) -> Results:
    """Results of the stages."""
    bets = {f"bet{number}": judged(1) for number in (1, 2, 3, 4)}
    all_stages = {"predict": predicted(0.4), "bets": bets, "ingest": {"hours": 2.0}, **stages}
    metrics = {detail_path(stage).as_posix(): dict(of) for stage, of in all_stages.items() if of}
    return Results(commit, metrics, {"horizon": 1}, RULES)


def screen(mine: Results, theirs: Results | None = None, reason: str = "") -> str:
    text = written(mine, theirs, reason, Path("report/index.html"))
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    return text


def line_of(text: str, start: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(start + " "))
    return line


def with_bets(supported: float, measured: int = 1, controls_failed: int = 0) -> Results:
    bets = {f"bet{number}": judged(1) for number in (1, 2, 3)}
    return made_up(bets=bets | {"bet4": judged(supported, measured, controls_failed)})


def test_same_numbers_stand_there_once() -> None:
    text = screen(made_up(), made_up(COMMIT))
    assert text.startswith(f"All 18 numbers here are the same as in the commit {COMMIT}")
    assert "committed" not in text
    assert line_of(text, "dynamic gain at horizon").endswith(" 0.400 [0.390, 0.410]")
    assert "within noise" not in text


@pytest.mark.parametrize(
    ("gain", "reading"),
    [
        (0.4, "same"),
        (0.4001, "within noise"),
        (0.409, "within noise"),
        (0.42, "outside its interval"),
    ],
)
def test_a_number_outside_its_interval_is_named(gain: float, reading: str) -> None:
    """One inside is not; beside both stands how they differ."""
    text = screen(
        made_up(predict=predicted(gain), rollout={"x": 1}), made_up(COMMIT, rollout={"x": 2})
    )
    line = line_of(text, "dynamic gain at horizon")
    assert line.endswith(f"]  {reading}") or line.endswith(f"]    {reading}")
    assert line.count("[") == 2
    named = "Left their interval, of the headline: dynamic gain at horizon." in text
    assert named == (reading == "outside its interval")
    assert f"{int(named)} left their interval; 1 have no interval and differ by more" in text


def test_numbers_are_counted_once_and_by_kind() -> None:
    """Ends of intervals belong to their number; the detail is counted, not named."""
    before = {"a": 1.0, "b": 1.0, "c": 1.0, **predicted(0.4)}
    now = {"a": 1.0, "b": 1.0005, "c": 1.1, "d": 5.0, **predicted(0.45)}
    mine, theirs = (
        Results(name, {"metrics/detail/new.json": of}, {}, RULES)
        for name, of in (("", now), (COMMIT, before))
    )
    text = screen(mine, theirs)
    assert "Of 4 numbers in both, 1 are the same and 1 differ within" in text
    assert "1 left their interval; 1 have no interval" in text
    assert f"1 are only here, 0 only in {COMMIT}." in text
    assert "2 more in the detail: `.venv/bin/python tools/metrics_report.py HEAD`." in text
    assert "of the headline" not in text


@pytest.mark.parametrize(
    ("judgement", "said", "flips"),
    [
        ((0,), "contradicted", True),
        ((0.5,), "inconclusive", True),
        ((0.5, 1, 1), "controls failed", True),
        ((0.5, 0), "not measured", False),
        ((1,), "supported", False),
    ],
)
def test_a_verdict_flips_if_it_is_another_one(judgement: tuple, said: str, flips: bool) -> None:
    """What was not measured is shown, and flips nothing."""
    mine, theirs = with_bets(*judgement), made_up(COMMIT, predict=predicted(0.41))
    told = f"bet 4 was supported, is {said} (rules of 2026-11-22)"
    assert flipped(mine, theirs) == ([told] if flips else [])
    text = screen(mine, theirs)
    assert said in line_of(text, "4 Claim number 4")
    assert ("flips: supported (75 %)" in text) == flips
    assert text.startswith(f"A verdict flips: {told}.") == flips


def test_without_results_of_bets_nothing_flips() -> None:
    mine, theirs = made_up(bets={}, predict=predicted(0.41)), made_up(COMMIT)
    assert not flipped(mine, theirs)
    assert "not run" in line_of(screen(mine, theirs), "1 Claim number 1")
    assert not flipped(mine, None)


def test_stages_that_were_not_run_are_listed() -> None:
    """And their numbers are in no table; no numbers at all are no sameness."""
    mine = made_up(ingest={}, calm=predicted(1.0))
    theirs = made_up(COMMIT, encode={"frames": 3}, study={"settings": {"seeds": 3}})
    text = screen(mine, theirs)
    first = text.split("\n\n")[0]
    assert "Not run: ingest, " in first
    assert "encode" in first
    assert "calm" not in first
    assert "study" not in first
    assert "hours of speech" not in text
    assert "`make repro` runs all stages" in text
    nothing = screen(Results("", {}, {}, {}), theirs)
    assert nothing.startswith(f"No numbers here to compare with those of the commit {COMMIT}.")
    assert "Headline" not in nothing


def test_without_a_commit_it_says_why_and_shows_what_is_here() -> None:
    text = screen(made_up(), None, "git says: not a git repository")
    assert text.splitlines()[0] == "Results here alone; git says: not a git repository."
    assert line_of(text, "dynamic gain at horizon").endswith(" 0.400 [0.390, 0.410]")
    assert "committed" not in text
    assert "supported (75 %)" in text


def test_changed_settings_stand_first() -> None:
    """Numbers that differ are then expected, and not named one by one."""
    theirs = made_up(COMMIT)
    mine = Results("", made_up(predict=predicted(0.1)).metrics, {"horizon": 8}, RULES)
    text = screen(mine, theirs)
    assert (
        "Settings differ from the commit: horizon = 8 (was 1); so numbers are exp"
        in text.split("\n\n")[0]
    )
    assert "of the headline" not in text
    assert "outside its interval" in line_of(text, "dynamic gain at horizon")
    rules = Results("", mine.metrics, theirs.settings, RULES | {"bet1.prior": 0.5})
    assert "The rules of the bets differ from the commit: bet1.prior" in screen(rules, theirs)
    waiting = Results("", theirs.metrics, {"horizon": 8}, RULES)
    assert "`dvc repro` runs what they change" in screen(waiting, theirs)


def test_settings_are_told_by_name_and_lists_once() -> None:
    old, new = (
        {"horizon": h, "in": {"languages": of}, "same": 1}
        for h, of in ((1, ["en", "it"]), (8, ["it"]))
    )
    assert changed_settings(flattened(old), flattened(new)) == "horizon = 8 (was 1), in.languages"
    assert changed_settings(flattened(old), flattened(old)) == ""
    many = {f"k{number}": number for number in range(40)}
    assert changed_settings({}, many).endswith(", k12, k13, 34 more")


def test_the_largest_screen_fits_a_terminal(tmp_path: Path) -> None:
    """All committed numbers, every one of them moved."""
    theirs = results(working_tree(("metrics/detail", "params.yaml", "bets.yaml"), ROOT))
    moved = copy.deepcopy(theirs.metrics)
    for stage in HEADLINES:
        for key in headline_keys(stage):
            *path, last = key.split(".")
            inner = moved[detail_path(stage).as_posix()]
            for part in path:
                inner = inner.get(part, {})
            if last in inner:  # A codec that nobody has measured here has no row.
                inner[last] = inner[last] * 1.01 + 1e-3
    mine = Results("", moved, theirs.settings, theirs.rules)
    page = tmp_path / ("a path that is long " * 5) / "report/index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    lines = written(mine, theirs, "", page).splitlines()
    assert max(len(line) for line in lines) <= WIDTH
    assert len(lines) <= 46
    assert len(written(theirs, theirs, "", page).splitlines()) <= 40


def test_figures_are_of_the_headline_and_measured() -> None:
    for figure in FIGURES:
        assert figure.key in headline_keys(figure.stage)
        assert len(figure.name) <= NAME
        metrics = json.loads((ROOT / detail_path(figure.stage)).read_text(encoding="utf-8"))
        assert figure.key in flattened(metrics)
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Neither it nor broken settings end in an error."""
    (tmp_path / "metrics/detail").mkdir(parents=True)
    (tmp_path / "metrics/detail/predict.json").write_text('{"gain": ')
    (tmp_path / "metrics/detail/rssm.json").write_text("[1]")
    (tmp_path / "params.yaml").write_text("horizon: [")
    text, flips = closing(tmp_path)
    assert "metrics/detail/predict.json, metrics/detail/rssm.json." in text
    assert not flips
