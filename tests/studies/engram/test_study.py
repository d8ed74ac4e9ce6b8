"""The study that bet 3 is judged by: what it writes, that it goes on, how old its results are."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bet3_study import SECTIONS, bet3_study
from mimi_dynamics.latents.states import write_states
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.studies import changed_settings, study_settings
from mimi_dynamics.report.evidence import lacking, trainings_of
from mimi_dynamics.report.rules import load_bets
from mimi_dynamics.studies.engram import kept
from mimi_dynamics.studies.engram.kept import identity
from mimi_dynamics.studies.engram.metrics import Effects
from mimi_dynamics.studies.engram.study import Job, Subject, Trained
from tests.harness import ROOT
from tests.harness.slow_latents import write_latents
from tests.studies.engram.test_engram import SETTINGS, planted, shape_of, subject_of

PARAMS = load_params(ROOT / "params.yaml")
RULES = load_bets(ROOT / "bets.yaml").bet3.rules["2026-11-28"]
COMMITTED = ROOT / "metrics/detail/bet3_study.json"
DIM, FRAMES = 4, 200


def small_params() -> Params:
    """Settings for trainings of a fraction of a second."""
    sweep = {
        "heads": [1], "row_dim": [2], "rows": [16], "table_lr": [1.0, 5.0], "cells": [2, 64],
        "keys": ["kmeans"], "epochs": [1],
    }  # fmt: skip
    small = PARAMS.bet3_study.sweep.model_copy(update=sweep)
    changes = {
        "latents": {"dim": DIM},
        "predict": {"components": 2, "var_order": 1, "bootstrap_samples": 100},
        "engram": {"cells": 2, "rows": 16, "width": 8, "head": "gaussian", "epochs": 1},
        "bet3_study": {
            "width": 8, "sweep_width": 4, "seeds": 3, "doublings": 3, "plantings": 2,
            "learnable_nats": [0.02], "sweep": small,
        },
    }  # fmt: skip
    sections = {n: getattr(PARAMS, n).model_copy(update=c) for n, c in changes.items()}
    return PARAMS.model_copy(update=sections)


@pytest.mark.trains
@pytest.mark.slow
def test_the_script_writes_what_the_rules_read_and_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIMI_DYNAMICS_CORES", "1")
    latents = write_latents(DIM, FRAMES)
    write_states(Path("data/states"), latents, latents.values[:, :DIM])
    params = small_params()
    bet3_study(params)
    path = Path("metrics/detail/bet3_study.json")
    written = json.loads(path.read_text())
    assert lacking(RULES, {"bet3_study": written}) == ""
    assert trainings_of(RULES, written) == 3
    assert written["origin"]["weights_sha256"] == "0" * 64
    assert not changed_settings(written["settings"], study_settings(params, SECTIONS))
    assert written["planted"].keys() == {"n0_02"}
    assert written["sweep"]["cells"].keys() == {"v2", "v64"}
    found = {
        cells: written["sweep"]["cells"][f"v{cells}"]["help_nats_per_frame"] for cells in (2, 64)
    }
    assert written["chosen"]["cells"] == max(found, key=lambda cells: found[cells])

    text = path.read_text()
    monkeypatch.setattr(kept, "fit_job", lambda _: pytest.fail("trained again"))
    bet3_study(params)
    assert path.read_text() == text


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A state with keys."""
    return subject_of(planted(motifs=True))


def test_results_are_kept_by_all_that_they_depend_on(subject: Subject) -> None:
    """Another rate of the tables is another memory, and the same model without one."""
    shape = shape_of(subject)
    faster = replace(shape, settings=SETTINGS.model_copy(update={"table_lr": 7.0}))
    longer = replace(shape, settings=SETTINGS.model_copy(update={"epochs": 13}))
    rekeyed = replace(subject, keys=replace(subject.keys, values=subject.keys.values[::-1].copy()))
    for variant, differ in (("engram", True), ("iso_parameter", False)):
        job = Job(subject, shape, variant, 12, 0)
        assert identity(job) == identity(Job(subject, shape, variant, 12, 0))
        assert (identity(job) != identity(replace(job, shape=faster))) == differ
        assert (identity(job) != identity(replace(job, subject=rekeyed))) == differ
        moved = replace(subject.data, frames=subject.data.frames + 1)
        others = (
            replace(job, shape=longer), replace(job, seed=1), replace(job, width=13),
            replace(job, subject=replace(subject, data=moved)),
        )  # fmt: skip
        assert len({identity(other) for other in (job, *others)}) == 5


def test_three_trainings_have_the_interval_of_three(subject: Subject) -> None:
    """Half of it is at least t · s / √3, which draws of three seeds would not reach."""
    scored = sum(len(batch.frame) for batch in subject.batches("test"))
    trained = {
        variant: [Trained(None, {"test": np.full(scored, nll)}, {}, {}) for nll in nlls]
        for variant, nlls in (("engram", (1.0, 1.1, 1.2)), ("none", (1.5, 1.5, 1.5)))
    }
    found = Effects(subject, trained, "test", 100, 0).help("none").metrics("help")
    assert found["help"] == pytest.approx(0.4)
    assert found["help_ci_high"] - 0.4 == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=1e-3)
    assert found["help_trainings"] == 3


@pytest.mark.skipif(not COMMITTED.exists(), reason="the study has not been run")
def test_the_committed_study_is_of_the_settings_of_the_study() -> None:
    study = json.loads(COMMITTED.read_text())
    recorded, current = study["settings"], study_settings(PARAMS, SECTIONS)
    assert recorded["bet3_study"] == current["bet3_study"]
    assert study["z_dyn"]["help_nats_per_frame_trainings"] == PARAMS.bet3_study.seeds
    worths = {f"n{nats:g}".replace(".", "_") for nats in PARAMS.bet3_study.learnable_nats}
    assert study["planted"].keys() == worths
