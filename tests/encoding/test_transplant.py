"""A transplanted latent hears its own frame and a look-back, and nothing else of its clip."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from mimi_dynamics.codec.base import FRAME_SIZE, MimiCodec
from mimi_dynamics.codec.loading import untrained_codec
from mimi_dynamics.encoding import transplant as module
from mimi_dynamics.encoding.fast_encoder import MatrixEncoder
from mimi_dynamics.encoding.splice import fade_in
from mimi_dynamics.encoding.transplant import (
    choose_look_backs,
    look_back,
    transplant,
    transplant_clips,
    with_targets,
)
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.errors import InputError
from tests.harness.speechlike import speechlike
from tests.harness.tiny_codec import load_tiny, tiny_params

AUDIO = speechlike(0.9, seed=0)[: 11 * FRAME_SIZE - 500]
OTHER = speechlike(2.5, seed=1)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> MimiCodec:
    """A tiny one, whose transformers look back 4 frames."""
    return load_tiny(tmp_path_factory.mktemp("codec"))


def in_one_go(codec: MimiCodec, audio: np.ndarray, past: np.ndarray) -> np.ndarray:
    """The definition: each frame alone after the look-back, as one clip."""
    padded = np.pad(audio, (0, -len(audio) % FRAME_SIZE)).reshape(-1, FRAME_SIZE)
    clips = [torch.from_numpy(np.concatenate([past, fade_in(of, past)]))[None] for of in padded]
    with torch.no_grad():
        return torch.cat([codec.encode(clip)[:, -1] for clip in clips]).numpy()


@pytest.mark.trains
@pytest.mark.parametrize("frames", [1, 3, 25])
@pytest.mark.parametrize("at_once", [1, 4, 128])
def test_streamed_as_in_one_go(
    codec: MimiCodec, monkeypatch: pytest.MonkeyPatch, frames: int, at_once: int
) -> None:
    """Whatever goes through the codec at once, and the codec is as it was before."""
    monkeypatch.setattr(module, "FRAMES_AT_ONCE", at_once)
    past = OTHER[: frames * FRAME_SIZE]
    found = transplant(codec, AUDIO, past)
    assert found.shape == (11, codec.dim)
    assert found.dtype == np.float32
    assert not codec.model.is_streaming
    np.testing.assert_allclose(found, in_one_go(codec, AUDIO, past), rtol=1e-4, atol=1e-5)
    assert np.array_equal(found, transplant(codec, AUDIO, past))


@pytest.mark.slow
def test_streamed_by_a_codec_of_mimis_size() -> None:
    """It looks back further than any look-back reaches."""
    mimi = untrained_codec(tiny_params().model_copy(update={"name": "mimi"}), seed=0)
    audio, past = AUDIO[: 3 * FRAME_SIZE], look_back(OTHER)
    expected = in_one_go(mimi, audio, past)
    rounding = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(transplant(mimi, audio, past), expected, rtol=1e-4, atol=rounding)


@pytest.mark.trains
def test_a_codec_that_does_not_stream(tmp_path: Path, codec: MimiCodec) -> None:
    """It was prepared for fast encoding, or computes in half precision."""
    past = OTHER[: 6 * FRAME_SIZE]
    expected = transplant(codec, AUDIO, past)
    fast, half = load_tiny(tmp_path), load_tiny(tmp_path)
    fast.model.encoder = MatrixEncoder(fast.model.encoder)
    np.testing.assert_allclose(transplant(fast, AUDIO, past), expected, rtol=1e-4, atol=1e-5)
    half.encode_in(torch.bfloat16)
    rounding = 0.1 * np.abs(expected).max()
    np.testing.assert_allclose(transplant(half, AUDIO, past), expected, atol=rounding)


@pytest.mark.trains
@pytest.mark.parametrize("streams", [True, False])
def test_shares_no_sample_with_other_frames(
    codec: MimiCodec, monkeypatch: pytest.MonkeyPatch, streams: bool
) -> None:
    """Other audio around a frame leaves its latent alone, other audio within moves it alone."""
    monkeypatch.setattr(module, "_streams", lambda _: streams)
    past, frame = OTHER[: 6 * FRAME_SIZE], slice(5 * FRAME_SIZE, 6 * FRAME_SIZE)
    around, within = speechlike(0.9, seed=2)[: len(AUDIO)], AUDIO.copy()
    around[frame], within[frame] = AUDIO[frame], around[:FRAME_SIZE]
    plain, outer, inner = (transplant(codec, of, past) for of in (AUDIO, around, within))
    others = np.arange(11) != 5
    np.testing.assert_allclose(outer[5], plain[5], rtol=1e-5, atol=1e-6)
    assert np.abs(outer - plain)[others].max(1).min() > 1e-3
    np.testing.assert_allclose(inner[others], plain[others], rtol=1e-5, atol=1e-6)
    assert np.abs(inner - plain)[5].max() > 1e-3


@pytest.mark.trains
def test_hears_the_look_back(codec: MimiCodec) -> None:
    """All of it that the codec remembers, through the fade and through its state."""
    plain = transplant(codec, AUDIO, OTHER[: 3 * FRAME_SIZE])
    changed = OTHER[: 3 * FRAME_SIZE].copy()
    changed[:FRAME_SIZE] += speechlike(0.08, seed=3)
    assert np.abs(transplant(codec, AUDIO, changed) - plain).max(1).min() > 1e-5


def test_a_look_back_is_the_middle() -> None:
    """In whole frames, of 2 s at most, or none."""
    long = np.arange(100_000)
    assert np.array_equal(look_back(long), long[26_000:74_000])
    short = np.arange(2 * FRAME_SIZE + 100)
    assert np.array_equal(look_back(short), short[50:-50])
    assert not len(look_back(np.arange(FRAME_SIZE - 1)))


def table(clips: str) -> pd.DataFrame:
    """A manifest of clips such as `a1`: voice a, performance 1."""
    rows = [
        {"voice": name[0], "performance": name[:2], "clip_id": name, "path": f"{name}.flac"}
        for name in clips.split()
    ]
    return pd.DataFrame(rows).assign(split="train")


def test_look_backs_are_of_the_same_voice_and_split_but_no_copy() -> None:
    """Every clip of ten is taken once; a clip without another performance is left out."""
    manifest = table(" ".join(f"a{n}" for n in range(10)) + " b1 b2x b2y c1 c2 d1x d1y")
    manifest.loc[manifest["clip_id"] == "c2", "split"] = "test"
    chosen = choose_look_backs(manifest, seed=0)
    assert chosen.keys() == set(manifest["clip_id"]) - {"c1", "c2", "d1x", "d1y"}
    taken = [path.stem for clip, path in chosen.items() if clip.startswith("a")]
    assert sorted(taken) == [f"a{n}" for n in range(10)]
    assert all(clip[:1] == path.stem[:1] for clip, path in chosen.items())
    assert all(clip[:2] != path.stem[:2] for clip, path in chosen.items())


def test_look_backs_hardly_depend_on_other_clips() -> None:
    """Not on their order, and without a clip only the choice of the one that took it changes."""
    manifest = table(" ".join(f"a{n}" for n in range(10)) + " b1 b2 b3")
    chosen = choose_look_backs(manifest, seed=0)
    assert choose_look_backs(manifest[::-1], seed=0) == chosen
    assert choose_look_backs(manifest, seed=1) != chosen
    fewer = choose_look_backs(manifest[manifest["clip_id"] != "a4"], seed=0)
    assert [clip for clip in fewer if fewer[clip] != chosen[clip]] == [
        clip for clip, path in chosen.items() if path.stem == "a4"
    ]


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[[dict[str, float]], pd.DataFrame]:
    """Writes clips of these lengths in seconds, and gives their manifest."""

    def write(seconds: dict[str, float]) -> pd.DataFrame:
        manifest = table(" ".join(seconds))
        manifest["path"] = [str(tmp_path / path) for path in manifest["path"]]
        for seed, (path, length) in enumerate(zip(manifest["path"], seconds.values(), strict=True)):
            soundfile.write(path, speechlike(length, seed), 24_000)
        return manifest

    return write


@pytest.mark.trains
def test_clips_of_a_corpus(
    codec: MimiCodec, corpus: Callable[[dict[str, float]], pd.DataFrame]
) -> None:
    """All that have a look-back, and each as if it were encoded alone."""
    manifest = corpus({"a1": 1.0, "a2": 2.5, "b1": 1.0, "a3": 0.5})
    look_backs = choose_look_backs(manifest, seed=0)
    found = dict(transplant_clips(codec, manifest, look_backs))
    assert list(found) == ["a1", "a2", "a3"]
    assert [len(of) for of in found.values()] == [13, 32, 7]
    alone = dict(transplant_clips(codec, manifest[manifest["clip_id"] == "a2"], look_backs))
    assert np.array_equal(alone["a2"], found["a2"])


@pytest.mark.trains
def test_a_clip_too_short_for_a_look_back(
    codec: MimiCodec, corpus: Callable[[dict[str, float]], pd.DataFrame]
) -> None:
    manifest = corpus({"a1": 1.0, "a2": 0.05})
    with pytest.raises(InputError, match=r"a2\.flac: shorter than a frame of 80 ms"):
        list(transplant_clips(codec, manifest, choose_look_backs(manifest, seed=0)))


@pytest.fixture
def encoded() -> tuple[Sequences, Latents, Normalizer]:
    """Three clips of 12, 10 and 14 frames in 3 dimensions, of which 2 components are kept."""
    lengths = np.array([12, 10, 14])
    values = np.random.default_rng(0).standard_normal((36, 3)).astype(np.float32)
    gated = np.isin(np.arange(36), [5, 35])
    splits, clips = np.full(3, "train"), np.array(["a1", "a2", "a3"])
    blank = np.zeros(36, np.float32)
    latents = Latents(
        values, blank, gated, blank[:, None], lengths, clips, clips, splits, {"frame_rate": 12.5}
    )
    normalizer = Normalizer(np.ones(3), np.eye(3)[:2], np.array([2.0, 4.0]))
    frames = torch.from_numpy(normalizer.normalize(values))
    voiced = torch.ones(36, dtype=torch.bool)
    return Sequences(frames, voiced, torch.from_numpy(gated), lengths, splits), latents, normalizer


def test_targets_of_the_estimator(encoded: tuple[Sequences, Latents, Normalizer]) -> None:
    """In the components of the context, at the same frames; a clip without any is never scored."""
    sequences, latents, normalizer = encoded
    found = {"a3": np.full((14, 3), 5.0, np.float32), "a1": np.full((12, 3), 3.0, np.float32)}
    speech = with_targets(sequences, latents, normalizer, found)
    assert torch.equal(speech.frames, sequences.frames)
    expected = torch.tensor([[1.0, 0.5], [0.0, 0.0], [2.0, 1.0]])
    assert torch.equal(speech.targets, expected.repeat_interleave(torch.tensor([12, 10, 14]), 0))
    batches = speech.batches("train", 1, 4, 100, delta=False)
    scored = torch.cat([batch.frame for batch in batches]).tolist()
    assert sorted(scored) == [frame for frame in [*range(4, 12), *range(26, 35)] if frame != 5]


def test_targets_of_another_encoding(encoded: tuple[Sequences, Latents, Normalizer]) -> None:
    with pytest.raises(InputError, match="clip a2: 9 transplanted latents, 10 frames"):
        with_targets(*encoded, {"a2": np.zeros((9, 3), np.float32)})
