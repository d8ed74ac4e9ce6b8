"""The codec without learning keeps the spectrum, and less of it the fewer numbers it has."""

import numpy as np
import pytest
import torch

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.codec.log_mel import log_mel_distance, log_mel_frames
from mimi_dynamics.studies.reconstruct.spectral import SpectralCodec, fit_spectral
from tests.harness.speechlike import speechlike

CLIPS = [speechlike(2.0, seed) for seed in range(6)]
ALL_COUNT = [np.zeros(25, bool)] * 5


@pytest.fixture(scope="module")
def spectral() -> SpectralCodec:
    """Fitted on five clips."""
    return fit_spectral(CLIPS[1:], ALL_COUNT, dim=24, codebooks=3, bins=16, seed=0)


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Log-mel distance of (samples,) audio."""
    pair = (torch.from_numpy(audio[: len(wanted)].copy())[None] for audio in (found, wanted))
    return log_mel_distance(*pair).item()


@pytest.mark.parametrize("samples", [1, FRAME_SIZE, FRAME_SIZE + 1])
def test_a_frame_for_every_frame_begun(samples: int) -> None:
    assert log_mel_frames(CLIPS[0][:samples]).shape == (-(-samples // FRAME_SIZE), 600)


def test_distant_future_does_not_reach_a_frame() -> None:
    changed = CLIPS[0].copy()
    changed[5 * FRAME_SIZE + 256 :] = 0
    same = log_mel_frames(changed)[:5] == log_mel_frames(CLIPS[0])[:5]
    assert same.all()


def test_all_components_give_the_spectrum_back() -> None:
    """Up to what phases that are made up do to it: far less than the mean spectrum is off."""
    frames = log_mel_frames(CLIPS[0])
    whole = SpectralCodec(np.zeros(600), np.eye(600), ())
    found = distance(whole.decode(frames), CLIPS[0])
    mean = np.broadcast_to(frames.mean(0), frames.shape)
    assert found < 0.5 * distance(whole.decode(mean), CLIPS[0])


def test_every_codebook_brings_it_nearer(spectral: SpectralCodec) -> None:
    latents = np.concatenate([spectral.encode(clip) for clip in CLIPS[1:]])
    left = []
    for count in range(len(spectral.codebooks) + 1):
        fewer = SpectralCodec(spectral.mean, spectral.components, spectral.codebooks[:count])
        left.append(np.square(latents - fewer.quantize(latents)).sum())
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.5 * left[0]


def test_codes_are_few(spectral: SpectralCodec) -> None:
    latents = spectral.encode(CLIPS[1])
    first = SpectralCodec(spectral.mean, spectral.components, spectral.codebooks[:1])
    assert len(np.unique(first.quantize(latents), axis=0)) <= 16


def test_same_seed_same_bits(spectral: SpectralCodec) -> None:
    again = fit_spectral(CLIPS[1:], ALL_COUNT, dim=24, codebooks=3, bins=16, seed=0)
    latents = spectral.encode(CLIPS[0])
    assert (again.quantize(latents) == spectral.quantize(latents)).all()
    assert (again.decode(latents) == spectral.decode(latents)).all()


def test_gated_frames_are_not_learned_from(spectral: SpectralCodec) -> None:
    """Noise in them changes nothing; where it counts it would."""
    gated = np.arange(25) >= 20
    # The last window of a frame reaches into the next, which is left as it is.
    inside = np.repeat(np.arange(25) >= 21, FRAME_SIZE)
    noise = np.random.default_rng(0).standard_normal(len(CLIPS[0])).astype(np.float32)
    noisy = [np.where(inside, noise, clip) for clip in CLIPS[1:]]
    fitted = [fit_spectral(clips, [gated] * 5, 24, 3, 16, 0) for clips in (CLIPS[1:], noisy)]
    assert np.array_equal(fitted[0].components, fitted[1].components)
    everything = fit_spectral(noisy, ALL_COUNT, 24, 3, 16, 0)
    assert not np.array_equal(everything.components, spectral.components)
