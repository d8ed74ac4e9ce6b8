"""Codecs of transformers: what is read and what is refused, and what becomes of their frames."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import nn

from mimi_dynamics.codec.base import sha256_of
from mimi_dynamics.codec.hf import HfCodec
from mimi_dynamics.codec.hf_models import Kind, Reach
from mimi_dynamics.codec.loading import load_codec, untrained_codec
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.latents.store import read_latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import EncodeParams
from tests.harness.tiny_codec import HF, noise, two_sounds
from tests.harness.tiny_hf import hf_params, why_no_hf, write_hf

needs_hf = pytest.mark.skipif(bool(why_no_hf()), reason=why_no_hf())
WEIGHTS = "model.safetensors"


def problem_of(name: Path | str, **settings: object) -> str:
    """Why the codec is refused, in one line."""
    with pytest.raises(InputError) as caught:
        load_codec(hf_params(name, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def as_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests check comes before the package is used."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def change_config(folder: Path, **settings: object) -> None:
    """Write other settings into a folder's `config.json`."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'mimi-dynamics[hf]'" in problem_of("kyutai/mimi")


@pytest.mark.usefixtures("as_if_installed")
def test_a_repository_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for at the revision of the settings, without pickles and code."""
    asked: list[Any] = []

    def refuse(*given: object, **settings: object) -> None:
        asked.append((*given, settings["revision"], settings["allow_patterns"]))
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert "not to be had from huggingface.co/a/b at 'v1'" in problem_of("a/b", revision="v1")
    assert "no such folder" in problem_of("/no/folder/of/any/codec")
    files = ["config.json", "*.safetensors", "*.safetensors.index.json"]
    assert asked == [("a/b", "v1", files)]


@pytest.mark.usefixtures("as_if_installed")
def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mimi"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    assert "pickled weights such as .bin are never read" in problem_of(tmp_path)


@needs_hf
def test_models_that_are_not_known_or_not_whole(tmp_path: Path) -> None:
    folder = write_hf("mimi", tmp_path)
    tensors = load_file(folder / WEIGHTS)
    del tensors["downsample.conv.weight"]
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    assert "1 weights are missing, of which one is downsample.conv.weight" in problem_of(folder)
    (folder / WEIGHTS).write_bytes(b"no weights")
    assert str(folder) in problem_of(folder)
    change_config(folder, model_type="bert")
    assert "'bert': must be one of mimi, encodec, dac, xcodec" in problem_of(folder)
    (folder / "config.json").write_text("{")
    assert "config.json: not readable" in problem_of(folder)


@needs_hf
def test_what_encodec_does_at_48_khz_is_refused(tmp_path: Path) -> None:
    folder = write_hf("encodec", tmp_path)
    change_config(folder, chunk_length_s=1.0)
    assert "this codec encodes sound in chunks" in problem_of(folder)
    change_config(folder, chunk_length_s=None, normalize=True)
    assert "this codec encodes sound in chunks, or scales them" in problem_of(folder)
    change_config(write_hf("encodec", folder, audio_channels=2))
    assert "this codec takes 2 channels" in problem_of(folder)


@needs_hf
def test_rates_without_a_common_frame(tmp_path: Path) -> None:
    """Are refused with the numbers of frames that would do; those that have one keep theirs."""
    folder = write_hf("dac", tmp_path, sampling_rate=44_100, downsampling_ratios=[2, 4, 8, 8])
    told = "gives 86.1328 frames a second at 44100 Hz"
    assert f"{told}, of which no whole number takes 80 ms" in problem_of(folder)
    assert "frames_per_step must be 147 or a multiple" in problem_of(folder)
    assert "must be a multiple of 147" in problem_of(folder, frames_per_step=2)
    assert load_codec(hf_params(folder, frames_per_step=147)).frame_size == 40_960
    own = load_codec(hf_params(write_hf("dac", tmp_path), frames_per_step=1))
    assert (own.frame_rate, own.frame_size, own.dim) == (50, 480, 64)
    usual = load_codec(hf_params(tmp_path))
    audio = two_sounds()
    latents = own.encode(audio)
    torch.testing.assert_close(latents.reshape(2, 12, -1), usual.encode(audio))
    assert torch.equal(
        own.quantize(latents).flatten(1), usual.quantize(usual.encode(audio)).flatten(1)
    )


@needs_hf
def test_fewer_codebooks_are_the_coarsest(tmp_path: Path) -> None:
    folder, audio = write_hf("mimi", tmp_path), two_sounds()
    usual, fewer = load_codec(hf_params(folder)), load_codec(hf_params(folder, codebooks=2))
    latents = usual.encode(audio)
    assert torch.equal(fewer.quantize(latents), usual.quantize(latents)[..., :2])
    assert fewer.decode_codes(fewer.quantize(latents)).shape == audio.shape
    assert "has 3 codebooks: codec.hf.codebooks must not be more" in problem_of(folder, codebooks=4)


@needs_hf
def test_mirrors_do_not_hear_ahead(tmp_path: Path) -> None:
    """EnCodec mirrors the beginning of what it is given, which is silence here."""
    codec, audio = load_codec(hf_params(write_hf("encodec", tmp_path))), two_sounds()
    changed = audio.clone()
    changed[:, codec.frame_size :] = audio.flip(0)[:, codec.frame_size :]
    torch.testing.assert_close(codec.encode(audio)[:, 0], codec.encode(changed)[:, 0])
    mirrored = codec.kind.encode(audio)[..., 0] - codec.kind.encode(changed)[..., 0]
    assert mirrored.abs().max() > 1e-3


@needs_hf
def test_the_hash_is_of_all_files_and_the_folder_does_not_matter(tmp_path: Path) -> None:
    one = load_codec(hf_params(write_hf("mimi", tmp_path / "one")))
    assert one.weights_sha256 == sha256_of(tmp_path / "one" / WEIGHTS)
    one.kind.model.save_pretrained(tmp_path / "many", max_shard_size="40KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    many = load_codec(hf_params(tmp_path / "many"))
    assert many.weights_sha256 != one.weights_sha256
    assert many.runtime == one.runtime
    audio = two_sounds()
    assert torch.equal(one.encode(audio), many.encode(audio))


@needs_hf
def test_older_names_of_weights(tmp_path: Path) -> None:
    """As in EnCodec's published files."""
    folder, audio = write_hf("encodec", tmp_path), two_sounds()
    expected = load_codec(hf_params(folder)).encode(audio)
    older = {"parametrizations.weight.original0": "weight_g"}
    older["parametrizations.weight.original1"] = "weight_v"
    tensors = load_file(folder / WEIGHTS)
    for new, old in older.items():
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    assert torch.equal(load_codec(hf_params(folder)).encode(audio), expected)


@needs_hf
def test_nothing_is_run_or_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither code beside the weights nor the repository that a part of X-Codec came from."""
    import transformers

    folder = write_hf("xcodec", tmp_path)
    (folder / "code.py").write_text("raise SystemExit('was run')\n")
    inner = json.loads((folder / "config.json").read_text())["semantic_model_config"]
    change_config(
        folder,
        auto_map={"AutoModel": "code.Model"},
        semantic_model_config=inner | {"_name_or_path": "nobody/nothing"},
    )
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", pytest.fail)
    assert load_codec(hf_params(folder)).dim == 4 * 32


@needs_hf
def test_an_untrained_one_needs_settings_alone(tmp_path: Path) -> None:
    folder = write_hf("mimi", tmp_path)
    (folder / WEIGHTS).unlink()
    codecs = [untrained_codec(hf_params(folder), seed=seed) for seed in (0, 0, 1)]
    assert codecs[0].name == f"untrained hf:{folder}"
    assert codecs[0].weights_sha256 == ""
    first, same, other = (codec.encode(two_sounds()) for codec in codecs)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


class Folded(Kind):
    """A codec of 16 kHz that folds samples into frames of 20 ms, and hears nothing else."""

    def __init__(self) -> None:
        model: Any = nn.Module()
        model.config = SimpleNamespace(codebook_size=2, to_json_string=lambda: "")
        super().__init__(model, rate=16_000, hop=320, dim=320, codebooks=1)

    def measure(self) -> Reach:
        """Tell that a frame hears itself."""
        return Reach(0, 0, 0)

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Fold."""
        return audio.reshape(len(audio), -1, self.hop).transpose(1, 2)

    def synthesize(self, embedding: torch.Tensor) -> torch.Tensor:
        """Unfold."""
        return embedding.transpose(1, 2).flatten(1)


@needs_hf
def test_sound_at_another_rate_stays_in_place() -> None:
    """Up to its last milliseconds, which the filters of both ways would need more sound for."""
    tone = torch.sin(2 * torch.pi * 700 * torch.arange(12 * 1920) / 24_000)[None]
    codec = HfCodec("hf:folded", "", Folded(), HF)
    found = codec.decode(codec.encode(tone))
    assert found.shape == tone.shape
    torch.testing.assert_close(found[:, 100:-100], tone[:, 100:-100], rtol=0, atol=0.01)
    with pytest.raises(InputError, match=r"encode\.dtype: must be float32"):
        codec.encode_in(torch.bfloat16)


@needs_hf
@pytest.mark.parametrize("kind", ["encodec", "xcodec"])
def test_a_corpus(kind: str, tmp_path: Path) -> None:
    """Clips of two lengths, which a codec that hears all of a clip gets one at a time."""
    rows = []
    for name, seconds in (("a", 0.51), ("b", 0.8)):
        path = tmp_path / f"{name}.flac"
        soundfile.write(path, noise(seconds), 24_000)
        row = {"clip_id": name, "voice": "v", "split": "train", "path": str(path)}
        rows.append(row | {"seconds": seconds, "gated": np.zeros(0, np.int64)})
    codec = load_codec(hf_params(write_hf(kind, tmp_path / "codec")))
    settings = EncodeParams(batch_seconds=4.0, dtype="float32", engine="local")
    work = tmp_path / "work"
    metrics = encode_corpus(codec, pd.DataFrame(rows), tmp_path / "latents", settings, work)
    latents = read_latents(tmp_path / "latents")
    assert latents.values.shape == (7 + 10, codec.dim)
    assert latents.codes.shape == (7 + 10, codec.codebooks)
    assert latents.info["codec"] == codec.name
    assert metrics["batch_noise_floor"] <= (0 if kind == "xcodec" else 1e-5)
