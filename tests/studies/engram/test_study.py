"""The study of the memory: what its script writes, and how old what is committed is."""

import json
import re
from pathlib import Path

import pytest

from engram_study import engram_study
from mimi_dynamics.latents.states import write_states
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.studies import changed_settings, study_settings
from mimi_dynamics.studies.engram.comparison import SECTIONS, study_params
from tests.harness import ROOT
from tests.harness.slow_latents import write_latents

PARAMS = load_params(ROOT / "params.yaml")
COMMITTED = json.loads((ROOT / "metrics/detail/engram_study.json").read_text())
DIM, FRAMES = 4, 40


def small_params() -> Params:
    """Settings for trainings of a fraction of a second."""
    changes = {
        "latents": {"dim": DIM},
        "predict": {"components": 2, "var_order": 1, "bootstrap_samples": 100},
        "engram": {"cells": 4, "rows": 16, "width": 8, "head": "gaussian", "epochs": 1},
        "engram_study": {"seeds": 2, "table_shares": [0.0, 0.25]},
    }
    sections = {n: getattr(PARAMS, n).model_copy(update=c) for n, c in changes.items()}
    return PARAMS.model_copy(update=sections)


@pytest.mark.trains
@pytest.mark.slow
def test_the_script_writes_what_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers by name, from settings that it records; passages are newer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    latents = write_latents(DIM, FRAMES)
    write_states(Path("data/states"), latents, latents.values[:, :DIM])
    params = small_params()
    engram_study(params)
    written = json.loads(Path("metrics/detail/engram_study.json").read_text())
    assert written.keys() == COMMITTED.keys()
    for subject in ("raw", "z_dyn"):
        assert written[subject].keys() - {"by_passage"} == COMMITTED[subject].keys()
    assert written["z_dyn"]["by_table_share"].keys() == {"s00", "s25"}
    assert written["settings"]["engram"]["seeds"] == 2
    assert not changed_settings(written["settings"], study_settings(study_params(params), SECTIONS))
    # `horizon` was a setting of the study when it ran, and 1; it is a constant now.
    assert written["settings"].keys() == COMMITTED["settings"].keys() - {"horizon"}


def test_the_committed_study_is_of_the_settings_of_the_study() -> None:
    recorded = COMMITTED["settings"]
    assert recorded["engram_study"] == study_settings(PARAMS, ["engram_study"])["engram_study"]
    assert recorded["engram"]["seeds"] == PARAMS.engram_study.seeds
    shares = {f"s{round(100 * share):02d}" for share in PARAMS.engram_study.table_shares}
    assert COMMITTED["z_dyn"]["by_table_share"].keys() == shares


def test_other_settings_that_have_changed_since_are_named_beside_the_results() -> None:
    """All of them and no others; benchmarks/engram.py --write states them anew."""
    current = study_settings(study_params(PARAMS), SECTIONS)
    page = (ROOT / "docs/explanation/engram.md").read_text(encoding="utf-8")
    changed = changed_settings(COMMITTED["settings"], current)
    assert re.findall(r"`([^`]*\(now [^`]*\))`", page) == changed
