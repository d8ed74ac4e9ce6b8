"""Find where a recording holds no sound at all: digital silence, and what a noise gate has shut.

Whether such a gate is open is easy to predict and is no speech: white noise, shut for random half
seconds, had a dynamic gain of 0.84 nats per dimension, twice that of speech. So frames in it and
beside it are context for models, but never targets (`encoding.frames`).
"""

import numpy as np

from mimi_dynamics.speech.audio import SAMPLE_RATE

CONSTANT_SAMPLES = round(0.005 * SAMPLE_RATE)
WINDOW_SAMPLES = round(0.020 * SAMPLE_RATE)
HOP_SAMPLES = WINDOW_SAMPLES // 4
# At 40 dB, ordinary pauses would count too: 9 % of the default corpus.
BELOW_DB = 60.0


def gated_intervals(pcm: np.ndarray) -> np.ndarray:
    """Find the intervals in which samples are constant or next to silent.

    An interval is constant if its samples do not change for 5 ms or longer. It is next to silent if
    20 ms of it have an RMS that is 60 dB or more below the median of the recording, where windows
    60 dB below the loudest do not count in the median: gates may be shut most of the time.

    Args:
        pcm: int16 (samples,) at 24 kHz.

    Returns:
        (intervals, 2) int64, the first sample of each interval and the first after it; they rise
        and do not touch.
    """
    return _intervals(_constant(pcm) | _next_to_silent(pcm))


def _constant(pcm: np.ndarray) -> np.ndarray:
    """Tell which samples are in a run of `CONSTANT_SAMPLES` or more equal ones."""
    starts = np.flatnonzero(np.diff(pcm, prepend=np.int64(2**20)) != 0)
    lengths = np.diff(starts, append=len(pcm))
    return np.repeat(lengths >= CONSTANT_SAMPLES, lengths)


def _next_to_silent(pcm: np.ndarray) -> np.ndarray:
    """Tell which samples are in a window of which the RMS is far below that of the recording."""
    silent = np.zeros(len(pcm), bool)
    if len(pcm) < WINDOW_SAMPLES:
        return silent
    # The mean of each window is left out: a constant offset is no sound.
    total, squares = (np.cumsum(np.append(0.0, pcm.astype(np.float64) ** n)) for n in (1, 2))
    begins = np.arange(0, len(pcm) - WINDOW_SAMPLES + 1, HOP_SAMPLES)
    ends = begins + WINDOW_SAMPLES
    mean, power = ((sums[ends] - sums[begins]) / WINDOW_SAMPLES for sums in (total, squares))
    power = np.maximum(power - mean**2, 0)
    share = 10 ** (-BELOW_DB / 10)
    heard = power[power > share * power.max()]
    if heard.size:
        for begin in begins[power <= share * np.median(heard)]:
            silent[begin : begin + WINDOW_SAMPLES] = True
    return silent


def _intervals(inside: np.ndarray) -> np.ndarray:
    """Turn (samples,) bool into the intervals in which it is true."""
    edges = np.flatnonzero(np.diff(inside.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).astype(np.int64)
