"""Codecs whose model is a Mimi load what they should and nothing else."""

import pickle
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

import mimi_dynamics.codec.mimi
from mimi_dynamics.codec import mimi_mini
from mimi_dynamics.codec.base import FRAME_SIZE, MimiCodec
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.codec.mimi_mini import build_mini, save_mini
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CodecParams, MimiParams, load_params
from tests.harness import ROOT
from tests.harness.tiny_codec import (
    TINY,
    load_tiny,
    noise,
    tiny_params,
    trained_tiny,
    two_sounds,
    write_random_mimi,
)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> MimiCodec:
    """A tiny codec."""
    return load_tiny(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def audio() -> torch.Tensor:
    """Two different sounds (2, samples)."""
    return two_sounds()


def mimi_params(weights: str) -> CodecParams:
    """Settings that name Kyutai's codec."""
    mimi = MimiParams(weights=weights, codebooks=4)
    return tiny_params().model_copy(update={"name": "mimi", "mimi": mimi})


@pytest.mark.trains
def test_decode_of_a_lattice_point_is_decode_of_its_codes(
    codec: MimiCodec, audio: torch.Tensor
) -> None:
    """Where projecting down gives exactly the code vectors, both ways of decoding agree."""
    quantizer = codec.model.quantizer
    codes = codec.quantize(codec.encode(audio))
    branches = ((quantizer.rvq_first, codes[..., :1]), (quantizer.rvq_rest, codes[..., 1:]))
    vectors = torch.cat([branch.vq.decode(c.permute(2, 0, 1)) for branch, c in branches], 1)
    down = torch.cat([branch.input_proj.weight[..., 0] for branch, _ in branches])
    latents = torch.linalg.solve(down, vectors).transpose(1, 2)
    torch.testing.assert_close(codec.decode(latents), codec.decode_codes(codes), atol=1e-4, rtol=0)


@pytest.mark.trains
def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """And the sum that the codec names."""
    weights = trained_tiny().weights()
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_mini(weights, TINY, [], first)
    save_mini(weights, TINY, [], second)
    assert first.read_bytes() == second.read_bytes()
    names = {mimi_mini.load(tiny_params(), path).weights_sha256 for path in (first, second)}
    assert len(names) == 1


def test_other_settings_than_trained_with(tmp_path: Path) -> None:
    """Are refused, naming the setting and both values."""
    path = tmp_path / "mini.safetensors"
    save_mini(build_mini(TINY).state_dict(), TINY, [], path)
    with pytest.raises(InputError, match=r"codec\.mini\.bins = 8, not 9"):
        mimi_mini.load(tiny_params(TINY.model_copy(update={"bins": 9})), path)
    longer = TINY.legs[0].model_copy(update={"steps": 9})
    with pytest.raises(InputError, match=r"codec\.mini\.legs = .*'steps': 8.*not .*'steps': 9"):
        mimi_mini.load(tiny_params(TINY.model_copy(update={"legs": [longer]})), path)


def test_committed_weights_fit_params() -> None:
    """The weights in the repository were trained with the settings in the repository."""
    params = load_params(ROOT / "params.yaml").codec.model_copy(update={"name": "mimi-mini"})
    codec = mimi_mini.load(params, ROOT / "models/mimi-mini.safetensors")
    assert codec.dim == params.mini.dim
    assert codec.codebooks == params.mini.codebooks


@pytest.mark.parametrize("name", ["mimi-mini", "mimi"])
def test_missing_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """End in a line with their path."""
    path = tmp_path / "none.safetensors"
    params = mimi_params(str(path)).model_copy(update={"name": name})
    monkeypatch.chdir(tmp_path)
    missing = r"none\.safetensors" if name == "mimi" else r"models/mimi-mini\.safetensors"
    with pytest.raises(InputError, match=missing):
        load_codec(params)


class Bomb:
    """Goes off when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Raise on the reader's side."""
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ""])
def test_pickles_are_not_loaded(suffix: str, tmp_path: Path) -> None:
    """Whatever their name."""
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="safetensors"):
        load_codec(mimi_params(str(path)))


def test_weights_of_another_shape(tmp_path: Path) -> None:
    """End in one line that names a tensor."""
    path = tmp_path / "mini.safetensors"
    save_file(build_mini(TINY).state_dict(), path)
    with pytest.raises(InputError, match=r"does not fit mimi: .*[a-z]") as caught:
        load_codec(mimi_params(str(path)))
    assert "\n" not in str(caught.value)


def test_no_network_and_nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends in a line that says what to do."""

    def refuse(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(mimi_dynamics.codec.mimi, "hf_hub_download", refuse)
    with pytest.raises(InputError, match=r"set codec\.mimi\.weights"):
        load_codec(mimi_params(""))


def test_download_with_another_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused before it is read."""
    path = tmp_path / "mimi.safetensors"
    path.write_bytes(b"not what Kyutai published")
    monkeypatch.setattr(mimi_dynamics.codec.mimi, "hf_hub_download", lambda *_, **__: str(path))
    with pytest.raises(InputError, match="sha256 is"):
        load_codec(mimi_params(""))


@pytest.mark.slow
def test_checkpoint_of_mimis_size(tmp_path: Path) -> None:
    """Random weights in Mimi's own shape pass through the same code: 385 MB."""
    path = tmp_path / "mimi.safetensors"
    write_random_mimi(path)
    codec = load_codec(mimi_params(str(path)))
    latents = codec.encode(torch.from_numpy(noise(0.3))[None])
    codes = codec.quantize(latents)
    assert latents.shape == (1, 4, 512)
    assert codes.shape == (1, 4, 4)
    assert codec.decode(latents).shape == codec.decode_codes(codes).shape == (1, 4 * FRAME_SIZE)
