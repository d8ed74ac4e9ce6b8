"""A study counts if it is of the codec, clips and settings of this run, and else says why."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.pipeline.studies import study_settings
from mimi_dynamics.report.evidence import lacking
from mimi_dynamics.report.rules import load_bets
from mimi_dynamics.report.studies import OWN_ROW, origin_sentence, read_studies
from tests.harness import ROOT

PARAMS, BETS = load_params(ROOT / "params.yaml"), load_bets(ROOT / "bets.yaml")
RULES = BETS.bet4.rules["2026-11-28"]
ORIGIN = {"weights_sha256": "a" * 64, "clips_sha256": "b" * 64}
RATIO = {
    "energy_score_leads_1_2": 1.0, "energy_score_leads_1_2_ci_low": 0.9,
    "energy_score_leads_1_2_ci_high": 1.1, "parameters": 1.0, "train_operations": 1.0,
    "generation_operations": 1.0,
}  # fmt: skip


def write_bet4(settings: Mapping[str, object], origin: Mapping[str, str]) -> None:
    study = {"ratio": RATIO, "trainings": 3, "origin": origin, "settings": settings}
    write_metrics(detail_path("bet4_study"), study)


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of a codec, and no study."""
    monkeypatch.chdir(tmp_path)
    write_metrics(OWN_ROW, {"origin": ORIGIN})


def reason() -> str:
    return lacking(RULES, read_studies(BETS, PARAMS))


def test_a_study_of_this_run_counts() -> None:
    """Settings that only one of both knows do not matter; nor do those it does not depend on."""
    assert reason() == "its study has not been run"
    settings = study_settings(PARAMS, ["calm", "seed"])
    write_bet4(settings | {"calm": settings["calm"] | {"gone": 1}}, ORIGIN)
    assert reason() == ""


@pytest.mark.parametrize("key", ORIGIN)
def test_other_weights_or_clips_do_not_count(key: str) -> None:
    write_bet4(study_settings(PARAMS, ["calm"]), ORIGIN | {key: "c" * 64})
    assert reason().startswith("its study is of something else: other ")


def test_other_settings_do_not_count_and_are_named() -> None:
    """The first three of them."""
    settings = study_settings(PARAMS, ["calm"])["calm"]
    write_bet4({"calm": settings | {"epochs": 99}}, ORIGIN)
    told = f"calm.epochs = 99 (now {PARAMS.calm.epochs})"
    assert reason() == f"its study is of something else: {told}"
    numbers = {name: 99 for name, value in settings.items() if isinstance(value, int)}
    write_bet4({"calm": numbers}, ORIGIN)
    assert reason().endswith(f"; {len(numbers) - 3} more")


def test_without_the_row_of_the_codec_it_is_not_known_what_is_of_this_run() -> None:
    OWN_ROW.unlink()
    write_bet4(study_settings(PARAMS, ["calm"]), ORIGIN)
    assert "other weights; other clips" in reason()


def test_a_page_names_what_a_study_is_of_that_is_other_today() -> None:
    settings = study_settings(PARAMS, ["calm"])
    study = {"origin": ORIGIN, "settings": settings}
    assert origin_sentence(study, PARAMS) == "It is of today's weights, clips and settings."
    settings["calm"] = settings["calm"] | {"epochs": 99}
    study["origin"] = ORIGIN | {"clips_sha256": "c" * 64}
    told = f"made with other clips, `calm.epochs = 99 (now {PARAMS.calm.epochs})`."
    assert origin_sentence(study, PARAMS).endswith(told)
