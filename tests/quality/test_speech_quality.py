"""Measures of decoded speech have the values that their definitions give."""

import numpy as np
import pytest

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.quality.speech_quality import (
    extended_stoi,
    si_sdr,
    speech_quality,
)
from mimi_dynamics.studies.reconstruct.reconstruction import OPUS_BITS_PER_S, through_opus
from tests.harness.speechlike import speechlike

CLIP = speechlike(2.0, 0)
ALL_COUNT = np.zeros(25, bool)


@pytest.mark.parametrize("decibels", [-10.0, 0.0, 20.0])
def test_si_sdr_of_noise_that_is_orthogonal(decibels: float) -> None:
    noise = np.random.default_rng(0).standard_normal(len(CLIP))
    noise -= CLIP * (noise @ CLIP) / (CLIP @ CLIP)
    noise *= np.linalg.norm(CLIP) / np.linalg.norm(noise) * 10 ** (-decibels / 20)
    assert si_sdr(3 * (CLIP + noise), CLIP) == pytest.approx(decibels, abs=1e-3)


def test_nothing_lost_is_perfect() -> None:
    quality = speech_quality(CLIP, CLIP, ALL_COUNT)
    assert quality["log_mel"] == 0
    assert quality["estoi"] == pytest.approx(1)
    assert quality["si_sdr_db"] > 80
    assert quality["pitch_voicing_agreement"] == 1


def test_more_noise_is_worse() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(CLIP)).astype(np.float32)
    some, more = (speech_quality(CLIP + level * noise, CLIP, ALL_COUNT) for level in (0.1, 1))
    assert some["estoi"] > more["estoi"]
    assert some["log_mel"] < more["log_mel"]
    assert some["si_sdr_db"] == pytest.approx(more["si_sdr_db"] + 20, abs=0.5)


def test_too_short_to_tell() -> None:
    assert np.isnan(extended_stoi(CLIP[:2000], CLIP[:2000]))


def test_opus_is_aligned_and_as_long() -> None:
    found = through_opus(CLIP)
    assert len(found) >= len(CLIP)
    lags = range(-200, 201)
    middle = CLIP[1000:-1000]
    match = [middle @ found[1000 + lag : 1000 + lag + len(middle)] for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 2
    assert OPUS_BITS_PER_S == 6000


def test_what_is_in_gated_frames_does_not_count() -> None:
    """In no measure."""
    gated = np.isin(np.arange(25), [3, 4, 5, 24])
    noise = np.random.default_rng(0).standard_normal(len(CLIP)).astype(np.float32)
    inside = np.repeat(gated, FRAME_SIZE)
    worse = CLIP + 0.03 * noise
    quality = speech_quality(worse, CLIP, gated)
    same = pytest.approx(quality, rel=1e-9)  # STOI rounds by where in memory a sound is.
    assert speech_quality(np.where(inside, noise, worse), CLIP, gated) == same
    assert speech_quality(worse, np.where(inside, 0, CLIP), gated) == same
    assert speech_quality(worse, CLIP, ALL_COUNT) != same
