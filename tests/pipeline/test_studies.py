"""A study's file says under which settings it ran."""

import json
from pathlib import Path

import pytest

from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.pipeline.studies import changed_settings, study_settings, write_study
from tests.harness import ROOT

PARAMS = load_params(ROOT / "params.yaml")


def test_settings_are_numbers_and_strings() -> None:
    """Lists and truth values too, in sections of sections and at the top level."""
    latents = PARAMS.latents.model_copy(update={"dim": 7})
    params = PARAMS.model_copy(update={"latents": latents, "horizons": [1, 8], "head": "flow"})
    found = study_settings(params, ["head", "horizons", "latents", "codec", "compute"])
    assert found["head"] == "flow"
    assert found["horizons"] == "1,8"
    assert found["latents"]["dim"] == 7
    assert found["codec"]["mini"]["corpora"] == ",".join(PARAMS.codec.mini.corpora)
    assert found["compute"]["compile"] is int(PARAMS.compute.compile)


def test_the_file_holds_metrics_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every section can be written; a metric that is not finite cannot."""
    monkeypatch.chdir(tmp_path)
    settings = study_settings(PARAMS, type(PARAMS).model_fields)
    write_study("any_study", {"gain": 0.5}, settings)
    written = json.loads(Path("metrics/detail/any_study.json").read_text())
    assert written.keys() == {"gain", "schema_version", "settings"}
    assert not changed_settings(written["settings"], settings)
    with pytest.raises(ValueError, match="gain"):
        write_study("any_study", {"gain": float("nan")}, settings)


def test_changed_settings_are_named() -> None:
    """With both values; those that became constants since are not."""
    recorded = {"seed": 0, "calm": {"epochs": 13, "lr": 0.002, "time_proposal": 1}}
    current = {"seed": 0, "calm": {"epochs": 10, "lr": 0.002}}
    assert changed_settings(recorded, current) == ["calm.epochs = 13 (now 10)"]
