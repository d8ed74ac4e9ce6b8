"""The whole stage `predict`, from Parquet to metrics, on latents whose gain is known."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from mimi_dynamics.density.predictor import load_predictor
from mimi_dynamics.diagnostics.processes import PROCESSES, VAR_GAIN
from mimi_dynamics.latents.normalizer import fit_normalizer
from mimi_dynamics.latents.store import EncodedClip, LatentWriter
from mimi_dynamics.pipeline.params import load_params
from predict import predict
from tests.harness import ROOT
from tests.latents.test_store import INFO

pytestmark = pytest.mark.trains

DIM = 4
FRAMES = 24_000
CLIPS_PER_GROUP = 20


def write_inputs(process: str, folder: Path) -> None:
    """data/latents/ and the normalizer, as the stages before write them."""
    data = PROCESSES[process].simulate(FRAMES // 50, 50, DIM, seed=0)
    values = data.frames.numpy().reshape(-1, 50, DIM)
    with LatentWriter(folder / "data/latents", INFO | {"dim": DIM, "codebooks": 1}) as writer:
        for split in ("train", "validation", "test"):
            clips = [
                EncodedClip(
                    clip_id=f"{split}/{index}",
                    voice="nobody",
                    split=split,
                    latent=values[index],
                    rms_db=np.zeros(50, np.float32),
                    gated=np.zeros(50, bool),
                    codes=np.zeros((50, 1), np.int16),
                )
                for index in np.flatnonzero(data.splits == split)
            ]
            for start in range(0, len(clips), CLIPS_PER_GROUP):
                writer.write(clips[start : start + CLIPS_PER_GROUP])
    train = data.select("train").frames.numpy()
    fit_normalizer(train, DIM).save(folder / "models/normalizer.safetensors")


def run_predict(
    process: str, folder: Path, monkeypatch: pytest.MonkeyPatch, memory_gib: float = 4.0
) -> dict:
    """All of metrics/predict.json."""
    params = load_params(ROOT / "params.yaml")
    small = {
        "heads": ["gaussian", "flow"],
        "width": 32,
        "components": 4,
        "epochs": 6,
        "batch_frames": 250,
    }
    small |= {"var_order": 2, "linear_order": 2, "bootstrap_samples": 100, "min_steps": 1}
    changes = {"predict": params.predict.model_copy(update=small), "memory_gib": memory_gib}
    params = params.model_copy(update=changes)
    write_inputs(process, folder)
    monkeypatch.chdir(folder)
    predict(params)
    return json.loads(Path("metrics/detail/predict.json").read_text())


@pytest.mark.slow  # tests/evidence/test_gains.py has the same of the functions that the stage calls
def test_white_noise_gains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the row; and its change seems predictable, by ½ ln 2, in every row alike."""
    found = run_predict("white_noise", tmp_path, monkeypatch)
    rows = {"real": found} | found["surrogates"]
    for row in rows.values():
        assert row["gain_nats_per_dim"] == pytest.approx(0, abs=0.01)
    assert found["dynamic_gain_nats_per_dim"] == pytest.approx(0, abs=0.01)
    assert found["delta"]["dynamic_gain_nats_per_dim"] == pytest.approx(0, abs=0.015)
    for delta in (found["delta"]["gain_nats_per_dim"], rows["permuted"]["delta_gain_nats_per_dim"]):
        assert delta == pytest.approx(0.5 * math.log(2), abs=0.015)


@pytest.mark.slow  # `controls` and tests/density have the same mixture
def test_mixture_is_found_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign flips: nothing for linear models and R², most of the gain for the flow."""
    found = run_predict("sign_flip", tmp_path, monkeypatch)
    true = PROCESSES["sign_flip"].true_gain(DIM, range(8, 50))
    assert found["best_head"] == "flow"
    assert found["heads"]["var"]["gain_nats_per_dim"] == pytest.approx(0, abs=0.01)
    assert found["r2_one_step"] == pytest.approx(0, abs=0.02)
    assert found["gain_nats_per_dim"] > 0.85 * true
    assert found["dynamic_gain_nats_per_dim"] > 0.85 * true
    assert found["surrogates"]["linear"]["gain_nats_per_dim"] == pytest.approx(0, abs=0.02)
    predictor, info = load_predictor(Path("models/predictor.safetensors"))
    assert (info["head"], info["horizon"]) == ("flow", 1)
    assert len(predictor.trunk.forecast.coefficients) == 2


@pytest.mark.slow
def test_with_little_memory_the_same_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Train read from disk in many blocks: every row's gain within 0.015 nats per dimension."""
    resident = run_predict("linear", tmp_path, monkeypatch)
    assert "read from disk" not in capsys.readouterr().err
    streamed = run_predict("linear", tmp_path, monkeypatch, memory_gib=0.0015)
    blocks = re.search(r"train is read from disk in (\d+) blocks", capsys.readouterr().err)
    assert int(blocks.group(1)) > 3
    gain = "gain_nats_per_dim"
    assert resident[gain] > 0.4
    assert streamed[gain] == pytest.approx(resident[gain], abs=0.015)
    for row, found in streamed["surrogates"].items():
        pair = resident["surrogates"][row][gain], found[gain]
        if row == "linear":  # drawn block by block, and so another twin: each must have its gain
            assert pair == pytest.approx((VAR_GAIN, VAR_GAIN), abs=0.04)
        else:
            assert pair[1] == pytest.approx(pair[0], abs=0.015)
    assert streamed["r2_one_step"] == pytest.approx(resident["r2_one_step"], abs=0.01)
