"""Whitened coordinates are white where they were fitted, and can be undone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.latents import normalizer as normalizer_module
from mimi_dynamics.latents.normalizer import (
    fit_normalizer,
    load_normalizer,
    normalized_sequences,
    some_frames,
    voiced_frames,
)
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.errors import InputError
from normalize import truncation_cost
from tests.harness.speechlike import speechlike


def correlated(frames: int = 4000, dim: int = 6) -> np.ndarray:
    """Frames with unequal, mixed variances and a mean."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(dim, dim)) * np.geomspace(1, 0.05, dim)
    return (rng.normal(size=(frames, dim)) @ mixing.T + 3).astype(np.float32)


def test_coordinates_are_white() -> None:
    """Mean 0, covariance I, on the frames of the fit."""
    values = correlated()
    coordinates = fit_normalizer(values, 4).normalize(values)
    np.testing.assert_allclose(coordinates.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(coordinates.T), np.eye(4), atol=2e-3)


def test_all_components_keep_everything() -> None:
    """The round trip is exact, and fewer components lose what `variance_kept` says."""
    values = correlated()
    whole = fit_normalizer(values, 6)
    np.testing.assert_allclose(whole.restore(whole.normalize(values)), values, atol=1e-4)
    assert whole.variance_kept(values) == pytest.approx(1)
    variances = whole.scale**2
    assert fit_normalizer(values, 2).variance_kept(values) == pytest.approx(
        variances[:2].sum() / variances.sum(), abs=1e-4
    )


def test_file_survives_a_round_trip_with_the_same_bytes(tmp_path: Path) -> None:
    """And gives the same coordinates."""
    values, normalizer = correlated(), fit_normalizer(correlated(), 3)
    for name in ("a", "b"):
        normalizer.save(tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = load_normalizer(tmp_path / "a.safetensors")
    assert np.array_equal(loaded.normalize(values), normalizer.normalize(values))


@pytest.mark.parametrize(("frames", "dim"), [(100, 7), (3, 4)])
def test_impossible_dimensions_are_named(frames: int, dim: int) -> None:
    """More than the codec has, or than there are frames."""
    with pytest.raises(InputError, match=f"latents.dim = {dim}"):
        fit_normalizer(correlated()[:frames], dim)


def two_clips(levels: list[float], gated: list[bool]) -> Latents:
    """One clip of train and one of test, of three frames each with these levels in dB."""
    return Latents(
        values=correlated(6, 2),
        rms_db=np.array(levels, np.float32),
        gated=np.array(gated),
        codes=np.zeros((6, 1), np.int16),
        lengths=np.array([3, 3]),
        clip_ids=np.array(["a", "b"]),
        voices=np.array(["v", "v"]),
        splits=np.array(["train", "test"]),
        info={"frame_rate": 12.5},
    )


def test_voiced_is_relative_to_each_clip() -> None:
    """A quiet recording has as much speech as a loud one."""
    latents = two_clips([-20, -30, -70, -50, -60, -100], [False] * 6)
    assert voiced_frames(latents, 35).tolist() == [True, True, False, True, True, False]
    normalizer = fit_normalizer(correlated(100, 2), 2)
    sequences = normalized_sequences(latents, normalizer, 35)
    assert sequences.select("test").voiced.tolist() == [True, True, False]
    assert sequences.select("train").frames.shape == (3, 2)


def test_gated_frames_do_not_say_what_is_voiced() -> None:
    """However loud they are; a clip that is all gated has no voiced frame."""
    gated = [False, False, True, True, True, True]
    latents = two_clips([-20, -30, 0, -50, -60, -100], gated)
    assert voiced_frames(latents, 15).tolist() == [True, True, False, False, False, False]


class ToneCodec:
    """Turns the last coordinate of each latent into the loudness of 80 ms of a tone."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(clips, samples) of (clips, frames, dim)."""
        level = latents[..., -1].repeat_interleave(FRAME_SIZE, -1).exp()
        return 0.01 * level * torch.sin(torch.arange(level.shape[-1]) * 0.2)


def test_truncation_costs_nothing_in_gated_frames(tmp_path: Path) -> None:
    """Whatever was recorded there, and in a clip that is all gated."""
    frames = 40
    gated = (np.arange(2 * frames) % 7 == 3) | (np.arange(2 * frames) >= frames)
    latents = Latents(
        values=correlated(2 * frames, 3),
        rms_db=np.zeros(2 * frames, np.float32),
        gated=gated,
        codes=np.zeros((2 * frames, 1), np.int16),
        lengths=np.array([frames, frames]),
        clip_ids=np.array(["a", "b"]),
        voices=np.array(["v", "v"]),
        splits=np.array(["test", "test"]),
        info={"frame_rate": 12.5},
    )
    manifest = pd.DataFrame({"path": [str(tmp_path / "a.flac")] * 2}, ["a", "b"])
    audio = speechlike(frames * FRAME_SIZE / 24000, 0)
    noisy = np.where(np.repeat(gated[:frames], FRAME_SIZE), 0.4 * np.sign(audio), audio)
    normalizer = fit_normalizer(latents.values, 2)

    def cost(of: Latents, recorded: np.ndarray) -> dict[str, float]:
        soundfile.write(manifest["path"].iloc[0], recorded, 24000)
        return truncation_cost(ToneCodec(), normalizer, of, manifest)

    found = cost(latents, audio)
    other = np.where(gated[:, None], latents.values[::-1], latents.values)
    assert cost(latents, noisy) == found
    assert cost(replace(latents, values=other), audio) == found
    every = replace(latents, gated=np.zeros(2 * frames, bool))
    assert cost(every, noisy) != cost(every, audio)


def test_some_frames_are_all_unless_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = np.random.default_rng(0).random(1000) < 0.4
    np.testing.assert_array_equal(some_frames(marked), marked)
    monkeypatch.setattr(normalizer_module, "FITTED_FRAMES", 50)
    kept = some_frames(marked)
    assert kept.sum() == 50
    assert not (kept & ~marked).any()
    assert np.diff(np.flatnonzero(kept)).max() < 60  # evenly: 20 frames apart on average
