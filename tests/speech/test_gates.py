"""Digital silence and gates are found to the sample, and speech with its pauses is not."""

import numpy as np
import pytest

from mimi_dynamics.speech.audio import SAMPLE_RATE, to_pcm
from mimi_dynamics.speech.gates import gated_intervals
from tests.harness.speechlike import speechlike

WINDOW = round(0.02 * SAMPLE_RATE)


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    """White noise."""
    generator = np.random.default_rng(0)
    return generator.normal(0, level, round(seconds * SAMPLE_RATE)).astype(np.float32)


def covered(intervals: np.ndarray, samples: int) -> np.ndarray:
    """(samples,) whether each is in an interval."""
    inside = np.zeros(samples, bool)
    for begin, end in intervals:
        inside[begin:end] = True
    return inside


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_samples_that_do_not_change(value: float) -> None:
    """From the first to the last, if they last 5 ms."""
    audio = noise(1.0)
    audio[5_000:5_120] = value
    audio[9_000:9_118] = value
    assert gated_intervals(to_pcm(audio)).tolist() == [[5_000, 5_120]]


@pytest.mark.parametrize("seconds", [0.2, 0.5, 2.0])
@pytest.mark.parametrize("dither_db", [-90.0, -np.inf])
def test_gates_are_found(seconds: float, dither_db: float) -> None:
    """Also those that leave dither, though they are shut most of the time."""
    audio = noise(5.0)
    begin, end = 24_000, 24_000 + round(seconds * SAMPLE_RATE)
    audio[begin:end] = 0
    audio[70_000:] = 0
    audio += noise(5.0)[::-1] * 10 ** (dither_db / 20) / 0.1
    inside = covered(gated_intervals(to_pcm(audio)), len(audio))
    assert inside[begin + WINDOW : end - WINDOW].all()
    assert inside[70_000 + WINDOW :].all()
    assert not inside[: begin - WINDOW].any()
    assert not inside[end + WINDOW : 70_000 - WINDOW].any()


def test_pauses_of_a_recording_are_none() -> None:
    """Speech whose pauses are 45 dB below it."""
    audio = speechlike(3.0, seed=1)
    audio[20_000:30_000] *= 1e-3
    audio += noise(3.0, 10 ** (-45 / 20) * float(np.sqrt(np.mean(audio**2))))[: len(audio)]
    assert len(gated_intervals(to_pcm(audio))) == 0


@pytest.mark.parametrize("samples", [0, 1, 119, 120, 479, 24_000])
def test_nothing_but_silence(samples: int) -> None:
    intervals = gated_intervals(np.zeros(samples, np.int16))
    assert covered(intervals, samples).all() == (samples >= 120 or samples == 0)
