"""The stages `horizon` and `horizons`, from Parquet to metrics, on latents of known gain."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from horizon import horizon
from horizons import horizons
from mimi_dynamics.density.predictor import load_predictor
from mimi_dynamics.diagnostics.processes import PROCESSES, RHO
from mimi_dynamics.evidence.gains import STACK
from mimi_dynamics.evidence.scores import read_fits
from mimi_dynamics.latents.loading import read_data, read_voices
from mimi_dynamics.latents.normalizer import fit_normalizer
from mimi_dynamics.latents.store import EncodedClip, LatentWriter
from mimi_dynamics.pipeline.params import Params, load_params
from tests.harness import ROOT
from tests.latents.test_store import INFO

pytestmark = pytest.mark.trains

DIM, CLIPS, FRAMES = 4, 320, 50
LEADS = [1, 2, 3]
SHARES = {"train": 200, "validation": 40, "test": 60, "test_voice": 20}
SETTINGS = load_params(ROOT / "params.yaml")


def write_latents(folder: Path) -> None:
    """A VAR(1) by four voices, one of which is held out, as the stages before would write it."""
    data = PROCESSES["linear"].simulate(CLIPS, FRAMES, DIM, seed=0)
    values = data.frames.numpy().reshape(CLIPS, FRAMES, DIM)
    start = 0
    with LatentWriter(folder / "data/latents", INFO | {"dim": DIM, "codebooks": 1}) as writer:
        for split, count in SHARES.items():
            clips = [
                EncodedClip(
                    clip_id=f"{split}/{index}",
                    voice="held out" if split == "test_voice" else f"voice {index * index % 5}",
                    split=split,
                    latent=values[index],
                    rms_db=np.zeros(FRAMES, np.float32),
                    gated=np.zeros(FRAMES, bool),
                    codes=np.zeros((FRAMES, 1), np.int16),
                )
                for index in range(start, start + count)
            ]
            for first in range(0, count, 16):
                writer.write(clips[first : first + 16])
            start += count
    train = values[: SHARES["train"]].reshape(-1, DIM)
    fit_normalizer(train, DIM).save(folder / "models/normalizer.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both stages have run."""
    folder = tmp_path_factory.mktemp("horizons")
    write_latents(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for lead in LEADS:
            horizon(small(), lead)
        horizons(small())
    return folder


def small() -> Params:
    """Settings by which all trainings take seconds."""
    sizes = {"width": 16, "batch_frames": 500, "min_steps": 1, "epochs": 6, "var_order": 2}
    predict = SETTINGS.predict.model_copy(update=sizes | {"bootstrap_samples": 200})
    update = {"predict": predict, "head": "gaussian", "horizons": LEADS, "trainings": 3}
    return SETTINGS.model_copy(update=update)


@pytest.fixture(scope="module")
def found(folder: Path) -> dict:
    """All metrics of `horizons`."""
    return json.loads((folder / "metrics/detail/horizons.json").read_text())


def test_gains_on_x_and_on_its_change_are_the_known_ones(found: dict) -> None:
    """ΔNLL is minus what the past tells of x, less ½ ln(2 (1 − ρᵏ)) that Δx varies more than x."""
    for split in (found, found["test_voice"]):
        for k in LEADS:
            at_lead, true = split[f"k{k}"], -0.5 * math.log(1 - RHO ** (2 * k))
            free = 0.5 * math.log(2 * (1 - RHO**k))
            assert at_lead["gain_nats_per_dim"] == pytest.approx(true, abs=0.05)
            delta = at_lead["delta"]
            assert delta["gain_nats_per_dim"] == pytest.approx(true + free, abs=0.05)
            assert delta["dnll_nats_per_dim"] == -delta["gain_nats_per_dim"]
            assert delta["dnll_nats_per_dim_ci_low"] < delta["dnll_nats_per_dim_ci_high"]
            for name in ("gain_nats_per_dim", "linear_gain_nats_per_dim"):
                assert delta["permuted"][name] == pytest.approx(0.5 * math.log(2), abs=0.04)


def test_one_frame_ahead_is_trained_three_times(found: dict, folder: Path) -> None:
    """The others once; what is saved as the model is the first training."""
    assert [found[f"k{k}"]["trainings"] for k in LEADS] == [3, 1, 1]
    first, later = found["k1"], found["k2"]
    for name in ("gain_nats_per_dim", "dynamic_gain_nats_per_dim", "shuffled_gain_nats_per_dim"):
        assert first[f"{name}_trainings"] == 3
        assert first[f"{name}_training_sd"] > 0
        assert f"{name}_trainings" not in later
    assert "linear_gain_nats_per_dim_trainings" not in first
    assert load_predictor(folder / "models/horizons/k1.safetensors")[1]["horizon"] == 1


def test_trainings_differ_and_what_has_no_seed_is_fitted_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    trainings = read_fits(1)
    scores = [of["real", "gaussian", "conditional"].nll["test"] for of in trainings]
    assert len({float(nll.mean()) for nll in scores}) == 3
    assert ("real", "var", "conditional") in trainings[0]
    assert {head for of in trainings[1:] for _, head, _ in of} == {"gaussian", STACK}
    assert len(read_fits(2)) == 1


def test_voices_are_those_of_the_clips(
    folder: Path, monkeypatch: pytest.MonkeyPatch, found: dict
) -> None:
    """In their order. Squares modulo 5 are three voices, and there is no interval over one."""
    monkeypatch.chdir(folder)
    first = SHARES["train"] + SHARES["validation"]
    numbers = range(first, first + SHARES["test"])
    assert read_voices("test").tolist() == [f"voice {index * index % 5}" for index in numbers]
    assert len(read_voices("test")) == len(read_data(small()).select("test").lengths)
    assert set(read_voices("test_voice")) == {"held out"}
    voices = found["k1"]["over_voices"]
    assert voices["voices"] == 3
    low, high = (voices[f"dynamic_gain_nats_per_dim_ci_{end}"] for end in ("low", "high"))
    assert low < found["k1"]["dynamic_gain_nats_per_dim"] < high
    assert "over_voices" not in found["test_voice"]["k1"]


def test_half_of_the_gain_is_gone_between_two_leads(found: dict) -> None:
    """0.511, 0.263 and 0.152 nats at 80, 160 and 240 ms: about half at the second."""
    assert found["half_life_above_ms"] in (80, 160)
    assert found["half_life_below_ms"] in (160, 240)
    assert found["half_life_above_ms"] < found["half_life_below_ms"]


def test_headline_and_curves_are_written(folder: Path) -> None:
    headline = json.loads((folder / "metrics/horizons.json").read_text())
    for k in LEADS:
        assert headline[f"k{k}"]["delta"].keys() == {"dnll_nats_per_dim"}
    table = pd.read_csv(folder / "plots/horizons.csv")
    assert table["lead_ms"].tolist() == [80, 160, 240]
    for name in ("real", "delta", "delta_permuted", "delta_var_permuted"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    assert table.notna().all(axis=None)
