"""The autoencoder of Pocket TTS is what its package computes, and what does not fit is named."""

import importlib.util
import json
from pathlib import Path

import huggingface_hub.errors
import pytest
import torch
from safetensors.torch import load_file, save_file

from mimi_dynamics.codec import pocket_tts
from mimi_dynamics.codec.base import FRAME_SIZE, Codec
from mimi_dynamics.codec.loading import load_codec, untrained_codec
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CodecParams
from tests.harness.tiny_codec import two_sounds
from tests.harness.tiny_pocket_tts import (
    STEPS,
    pocket_params,
    tiny_config,
    why_no_pocket_tts,
    write_pocket_tts,
)

needs_package = pytest.mark.skipif(bool(why_no_pocket_tts()), reason=why_no_pocket_tts())


@pytest.fixture
def params(tmp_path: Path) -> CodecParams:
    """Settings that name a small model."""
    return write_pocket_tts(tmp_path)


def problem_of(params: CodecParams) -> str:
    """Why the codec is refused, in one line."""
    with pytest.raises(InputError) as caught:
        load_codec(params)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def in_steps_of_the_package(codec: Codec, latents: torch.Tensor) -> torch.Tensor:
    """Decode frame by frame, as the package plays what it generates."""
    from pocket_tts.modules.stateful_module import increment_steps, init_states

    state = init_states(codec.model, len(latents), latents.shape[1] * STEPS)
    sounds = []
    for frame in latents.split(1, dim=1):
        sounds.append(codec.model.decode_from_latent(frame, state)[:, 0])
        increment_steps(codec.model, state, STEPS)
    return torch.cat(sounds, 1)


@needs_package
def test_sound_is_that_of_the_package(params: CodecParams) -> None:
    """Also where its transformer no longer sees the beginning (one frame)."""
    codec, audio = load_codec(params), two_sounds()
    latents = codec.encode(audio)
    assert latents.shape == (2, 12, 8)
    torch.testing.assert_close(
        codec.decode(latents), in_steps_of_the_package(codec, latents), rtol=1e-4, atol=1e-5
    )


@needs_package
def test_kyutais_own_shape() -> None:
    """32 numbers every 80 ms; two layers look 1.25 s back each, at 200 steps a second."""
    codec = untrained_codec(pocket_params("", "english"), seed=0)
    assert (codec.name, codec.dim, codec.codebooks) == ("untrained pocket-tts", 32, 0)
    assert codec.frame_size == FRAME_SIZE
    assert codec.hears_back == pytest.approx(2 * 249 / 200, abs=0.1)


@needs_package
def test_the_same_with_and_without_the_rest_of_the_bundle(
    params: CodecParams, tmp_path: Path
) -> None:
    """Those who train with the package may have it in a file of its own, named as by moshi."""
    alone = {
        name.replace("mimi.", "model.")
        .replace(".conv.", ".conv.conv.", 1)
        .replace(".convtr.", ".convtr.convtr.", 1)
        .replace("in_proj.weight", "in_proj_weight"): tensor
        for name, tensor in load_file(params.pocket_tts.weights).items()
        if name.startswith("mimi.")
    }
    save_file(alone, tmp_path / "codec.safetensors")
    other = pocket_params(tmp_path / "codec.safetensors", params.pocket_tts.config)
    first, second = (load_codec(of).encode(two_sounds()) for of in (params, other))
    assert torch.equal(first, second)


@needs_package
def test_weights_that_do_not_fit(params: CodecParams, tmp_path: Path) -> None:
    config, other = params.pocket_tts.config, tmp_path / "other.safetensors"
    assert "No such file" in problem_of(pocket_params(other, config))
    assert "does not fit pocket-tts" in problem_of(
        pocket_params(params.pocket_tts.weights, "english")
    )
    tensors = load_file(params.pocket_tts.weights)
    save_file({name: of for name, of in tensors.items() if "encoder" not in name}, other)
    assert "does not fit pocket-tts: Missing" in problem_of(pocket_params(other, config))
    silenced = {n: of * 0 if n.startswith("mimi.encoder.") else of for n, of in tensors.items()}
    save_file(silenced, other)
    assert "must be weights with voice cloning" in problem_of(pocket_params(other, config))
    other.write_bytes(b"no weights")
    assert "not a safetensors file" in problem_of(pocket_params(other, config))


@needs_package
def test_settings_that_are_none_of_the_package(params: CodecParams, tmp_path: Path) -> None:
    weights = params.pocket_tts.weights
    assert "'klingon': must be a .yaml file, or of dutch," in problem_of(
        pocket_params(weights, "klingon")
    )
    config = tmp_path / "other.yaml"
    for key, value, told in (
        ("frame_rate", 25.0, "25 latents a second at 24000 Hz: must be 12.5"),
        ("sample_rate", "fast", "valid integer"),
        ("inner_dim", 16, "its encoder gives 16 numbers and its decoder takes 8"),
        ("encoder_frame_rate", 1.0, "Extra inputs"),
    ):
        changed = tiny_config()
        changed["mimi"][key] = value
        config.write_text(json.dumps(changed))
        assert told in problem_of(pocket_params(weights, config))
    config.write_text("{")
    assert "codec.pocket_tts.config = " in problem_of(pocket_params(weights, config))
    changed = tiny_config()
    changed["mimi"]["seanet"]["pad_mode"] = "reflect"
    config.write_text(json.dumps(changed))
    assert "no such model: reflect" in problem_of(pocket_params(weights, config))


@needs_package
def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of Kyutai's from the hub the line says what it asks for."""
    from pocket_tts.utils import utils

    def refuse(**_: object) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(utils, "hf_hub_download", refuse)
    assert "to accept its terms there and to log in" in problem_of(pocket_params("", "english"))
    config = tmp_path / "tiny.yaml"
    config.write_text(json.dumps(tiny_config() | {"weights_path": None}))
    assert "must name a file" in problem_of(pocket_params("", config))


@needs_package
def test_half_precision_and_streams_are_refused(params: CodecParams) -> None:
    codec = load_codec(params)
    with pytest.raises(InputError, match=r"encode\.dtype: must be float32"):
        codec.encode_in(torch.bfloat16)
    with pytest.raises(NotImplementedError, match="does not stream"):
        codec.streaming(1)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'mimi-dynamics[pocket-tts]'" in problem_of(pocket_params("", "english"))
    with pytest.raises(InputError):
        pocket_tts.untrained(pocket_params("", "english"))
