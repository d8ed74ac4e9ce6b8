"""Studies of the factorisation: what their scripts write, and how old what is committed is."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import rssm_slow
import rssm_sweep
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.studies import changed_settings, study_settings
from mimi_dynamics.studies.rssm import run, sweep
from mimi_dynamics.studies.rssm.model import Rssm
from mimi_dynamics.studies.rssm.run import SECTIONS, with_models
from tests.harness import ROOT
from tests.harness.slow_latents import write_latents

PARAMS = load_params(ROOT / "params.yaml")
STUDIES = {"rssm_sweep": rssm_sweep.rssm_sweep, "rssm_slow": rssm_slow.rssm_slow}
COMMITTED = {
    name: json.loads((ROOT / f"metrics/detail/{name}.json").read_text()) for name in STUDIES
}
DIM, FRAMES = 4, 40


def small_params() -> Params:
    """Settings for trainings of a fraction of a second."""
    changes = {
        "latents": {"dim": DIM},
        "predict": {"components": 2, "epochs": 1, "pretrain_epochs": 1, "min_steps": 25},
        "rollout": {"samples": 2, "starts": 4, "prompt_frames": 4},
        "rssm": {"rec_dim": 2, "width": 8, "epochs": 1, "estimator_width": 8},
        "rssm_sweep": {"state_dims": [2, 3], "budgets": [4.0]},
        "rssm_slow": {"state_dims": [2], "budgets": [4.0], "state_stride": 2},
    }
    changes["predict"] |= {"var_order": 1, "linear_order": 1, "bootstrap_samples": 100}
    sections = {n: getattr(PARAMS, n).model_copy(update=c) for n, c in changes.items()}
    return PARAMS.model_copy(update=sections | {"head": "gaussian", "horizons": [1, 2]})


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Latents, one core, and no codec to decode with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    monkeypatch.setattr(run, "decode", lambda *_: {"z_dyn": 1.0})
    write_latents(DIM, FRAMES)
    return tmp_path


@pytest.mark.trains
@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("name", STUDIES)
def test_the_script_writes_what_is_committed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers by name, and the settings that they were measured under."""
    diagnosed, diagnose = [], sweep.diagnose

    def once(model: Rssm, *rest: object) -> object:
        diagnosed.append((model, rest[2]))
        return diagnose(model, *rest)

    monkeypatch.setattr(sweep, "diagnose", once)
    params = small_params()
    STUDIES[name](params)
    assert len(diagnosed) == len(set(diagnosed)), "a model was diagnosed twice on one split"
    written = json.loads(Path(f"metrics/detail/{name}.json").read_text())
    assert written.keys() == COMMITTED[name].keys()
    models = [next(iter(of["sweep"].values())).keys() for of in (written, COMMITTED[name])]
    assert models[0] == models[1]
    effective = with_models(params, getattr(params, name))
    assert not changed_settings(written["settings"], study_settings(effective, (*SECTIONS, name)))
    assert written["settings"].keys() == COMMITTED[name]["settings"].keys()
    assert written["sweep"].keys() == set(model_names(params, name))
    if name == "rssm_sweep":
        tables = [pd.read_csv(folder / "plots/rssm_sweep.csv") for folder in (Path(), ROOT)]
        assert list(tables[0].columns) == list(tables[1].columns)
        assert len(tables[0]) == 2 * (7 + 1)  # sizes, each with its rivals and its budget
        assert Path("plots/rssm_sweep.png").exists()


def model_names(params: Params, name: str) -> list[str]:
    """Names in metrics of the models of a study."""
    study = getattr(params, name)
    return [f"dim{dim}_budget{budget:g}" for dim in study.state_dims for budget in study.budgets]


@pytest.mark.parametrize("name", STUDIES)
def test_the_committed_study_is_of_the_settings_of_the_study(name: str) -> None:
    recorded = COMMITTED[name]["settings"]
    assert recorded[name] == study_settings(PARAMS, [name])[name]
    assert recorded[name].items() <= recorded["rssm"].items()
    assert COMMITTED[name]["sweep"].keys() == set(model_names(PARAMS, name))
    assert COMMITTED[name]["state_stride"] == recorded["rssm"]["state_stride"]


def test_the_committed_table_has_the_committed_numbers() -> None:
    table = pd.read_csv(ROOT / "plots/rssm_sweep.csv")
    states = table[table["kind"] == "state"]
    assert len(states) == len(COMMITTED["rssm_sweep"]["sweep"])
    for _, row in states.iterrows():
        model = COMMITTED["rssm_sweep"]["sweep"][f"dim{row['state_dim']}_{row['candidate']}"]
        assert (row["ease"], row["fidelity"]) == (model["ease"], model["fidelity_r2"])


def test_other_settings_that_have_changed_since_are_named_beside_the_results() -> None:
    """All of them and no others; `make readme` names them."""
    changed = []
    for name, committed in COMMITTED.items():
        current = study_settings(with_models(PARAMS, getattr(PARAMS, name)), (*SECTIONS, name))
        changed += changed_settings(committed["settings"], current)
    page = (ROOT / "docs/explanation/rssm.md").read_text(encoding="utf-8")
    assert re.findall(r"`([^`]*\(now [^`]*\))`", page) == changed
