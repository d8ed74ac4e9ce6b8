"""Lyra's files are checked before they are run, and each clip starts from a state of its own."""

import importlib.util
import io
import urllib.request
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from mimi_dynamics.codec import lyra
from mimi_dynamics.codec.loading import load_codec, untrained_codec
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.latents.store import read_latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CodecParams, EncodeParams
from tests.harness.speechlike import speechlike
from tests.harness.tiny_codec import LYRA, noise, tiny_params, two_sounds, why_no_lyra

needs_lyra = pytest.mark.skipif(bool(why_no_lyra()), reason=why_no_lyra())


def lyra_params(**settings: object) -> CodecParams:
    """Settings that name Lyra."""
    changed = LYRA.model_copy(update=settings)
    return tiny_params().model_copy(update={"name": "lyra", "lyra": changed})


@pytest.fixture
def as_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked for only if LiteRT is there; what these tests check comes before it runs."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says how to install it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'mimi-dynamics\[lyra\]'") as caught:
        load_codec(lyra_params(weights="anywhere"))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("as_if_installed")
def test_files_that_are_missing_or_others(tmp_path: Path) -> None:
    """End in one line with their path."""
    with pytest.raises(InputError, match=r"soundstream_encoder\.tflite: not readable"):
        load_codec(lyra_params(weights=str(tmp_path)))
    (tmp_path / lyra.ENCODER).write_bytes(b"not what Google published")
    with pytest.raises(InputError, match=r"soundstream_encoder\.tflite: sha256 is .*must be 237da"):
        load_codec(lyra_params(weights=str(tmp_path)))


@pytest.mark.usefixtures("as_if_installed")
def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends in a line that says what to do, and leaves nothing behind."""

    def refuse(*_: object, **__: object) -> None:
        raise urllib.request.URLError("offline")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(InputError, match=r"codec\.lyra\.weights may name a folder"):
        load_codec(lyra_params(weights=""))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("as_if_installed")
def test_downloads_are_checked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked for at a pinned commit, once each; what is not Google's is not kept."""
    asked, files = [], {name: name.encode() for name in lyra.SHA256}

    def serve(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(files[url.rpartition("/")[2]])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(urllib.request, "urlopen", serve)
    with pytest.raises(InputError, match=r"^https://.*encoder\.tflite: sha256 is"):
        load_codec(lyra_params(weights=""))
    assert not list(tmp_path.iterdir())
    sums = {name: sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(lyra, "SHA256", sums)
    monkeypatch.setattr(lyra, "LyraCodec", lambda _sum, models, _params: models)
    for _ in range(2):
        assert load_codec(lyra_params(weights="")) == files
    assert asked == [f"{lyra.HOME}/{name}" for name in (lyra.ENCODER, *lyra.SHA256)]
    assert lyra.COMMIT in asked[0]


def test_there_is_no_untrained_one() -> None:
    with pytest.raises(InputError, match="no untrained codec"):
        untrained_codec(lyra_params(), seed=0)


@needs_lyra
def test_no_clip_hears_another_that_was_encoded_before_it() -> None:
    """A fresh codec gives the same bits."""
    audio = two_sounds()
    codec = load_codec(lyra_params())
    with codec.streaming(2):
        codec.encode(audio.flip(0))
        codec.decode(codec.encode(audio))
    fresh = load_codec(lyra_params())
    latents = codec.encode(audio)
    assert torch.equal(latents, fresh.encode(audio))
    assert torch.equal(codec.decode(latents), fresh.decode(latents))


@needs_lyra
@pytest.mark.parametrize("frames_per_step", [1, 3])
def test_steps_of_other_lengths_hold_the_same_features(frames_per_step: int) -> None:
    audio = two_sounds()
    usual = load_codec(lyra_params())
    codec = load_codec(lyra_params(frames_per_step=frames_per_step))
    assert codec.frame_size == 480 * frames_per_step
    assert codec.frame_rate * codec.frame_size == 24_000
    latents = codec.encode(audio)
    assert latents.shape == (2, 48 // frames_per_step, 64 * frames_per_step)
    assert torch.equal(latents.reshape(2, 48, 64), usual.encode(audio).reshape(2, 48, 64))
    assert torch.equal(
        codec.quantize(latents).flatten(1), usual.quantize(usual.encode(audio)).flatten(1)
    )


@needs_lyra
def test_more_stages_come_closer() -> None:
    """The coarse codes stay the same, and the sound comes nearer to that of unquantised latents."""
    audio = torch.from_numpy(speechlike(1.6, seed=0)).float()[None]
    rates, losses = (16, 30, 46), []
    whole = load_codec(lyra_params()).quantize(load_codec(lyra_params()).encode(audio))
    for stages in rates:
        codec = load_codec(lyra_params(stages=stages))
        latents = codec.encode(audio)
        codes = codec.quantize(latents)
        assert codec.codebooks * np.log2(codec.bins) * codec.frame_rate == 200 * stages
        first = whole.reshape(1, -1, 46)[..., :stages]
        assert torch.equal(codes.reshape(1, -1, stages), first)
        losses.append((codec.decode_codes(codes) - codec.decode(latents)).square().mean().item())
    assert losses == sorted(losses, reverse=True)


@needs_lyra
def test_the_sound_is_that_which_was_encoded() -> None:
    """At the rate of clips; only where it streams is it late, by the two resamplers."""
    audio = torch.from_numpy(speechlike(1.6, seed=0)).float()[None]
    codec = load_codec(lyra_params())
    latents = codec.encode(audio)
    with codec.streaming(1):
        streamed = codec.decode(latents)[0]
    assert lag_of(codec.decode(latents)[0], audio[0]) == pytest.approx(0, abs=1)
    assert lag_of(streamed, audio[0]) == pytest.approx(codec.decode_delay, abs=1)


def lag_of(found: torch.Tensor, wanted: torch.Tensor) -> int:
    """By how many samples a sound is later than another, which it must resemble."""
    samples = len(wanted) - 100
    lags = range(-50, 50)
    matches = [torch.dot(found[50 + lag :][:samples], wanted[50:][:samples]) for lag in lags]
    assert max(matches) > 0.5 * found.norm() * wanted.norm()
    return lags[int(np.argmax(matches))]


@needs_lyra
def test_half_precision_is_refused() -> None:
    with pytest.raises(InputError, match=r"encode\.dtype: must be float32"):
        load_codec(lyra_params()).encode_in(torch.bfloat16)


@needs_lyra
def test_a_corpus_in_frames_of_20_ms(tmp_path: Path) -> None:
    """Frames, levels and gates are those of the codec's own length."""
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(0.51), 24_000)
    row = {"clip_id": "a", "voice": "v", "split": "train", "path": str(path), "seconds": 0.51}
    manifest = pd.DataFrame([row | {"gated": np.array([5 * 480, 6 * 480])}])
    codec = load_codec(lyra_params(frames_per_step=1))
    settings = EncodeParams(batch_seconds=3.0, dtype="float32", engine="local")
    metrics = encode_corpus(codec, manifest, tmp_path / "latents", settings, tmp_path / "work")
    latents = read_latents(tmp_path / "latents")
    assert latents.values.shape == (26, 64)
    assert latents.codes.shape == (26, 46)
    assert (latents.info["frame_rate"], latents.info["sample_rate"]) == (50.0, 16_000)
    assert latents.info["weights_sha256"] == codec.weights_sha256
    # 80 ms before the silence and 160 after it, and the last frame, within which the clip ends.
    assert np.flatnonzero(latents.gated).tolist() == [*range(1, 14), 25]
    assert metrics["silent_share"] == 13 / 26
    assert metrics["batch_noise_floor"] == 0
