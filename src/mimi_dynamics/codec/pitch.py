"""Estimate pitch by normalised autocorrelation, to test if a codec keeps the melody of a voice."""

import numpy as np
import torch
from torch.nn import functional

from mimi_dynamics.codec.base import SAMPLE_RATE
from mimi_dynamics.codec.heard import heard_at, silence_gated

# Three samples are averaged, which gives 8 kHz and is enough of a low-pass for a fundamental.
DECIMATION = 3
RATE = SAMPLE_RATE / DECIMATION
WINDOW = 512  # 64 ms hold four periods of the lowest pitch.
HOP = 160  # 20 ms
LOWEST_HZ, HIGHEST_HZ = 65.0, 420.0
VOICED_CORRELATION = 0.6
VOICED_RANGE_DB = 35.0
# Multiples of the period fit as well as the period. So the lag is the shortest one whose
# correlation is at least this share of the best.
OCTAVE_TOLERANCE = 0.9


def track_pitch(audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimate the pitch of `audio` (samples,) every 20 ms.

    Returns:
        The pitch (times,) in Hz, which is meaningful only at voiced times; and (times,) bool, which
        times are voiced. A time is voiced if it is periodic and no more than 35 dB below the
        loudest time.
    """
    low = functional.avg_pool1d(audio[None], DECIMATION)[0]
    frames = functional.pad(low, (0, WINDOW)).unfold(0, WINDOW, HOP)
    frames = frames - frames.mean(1, keepdim=True)
    shortest, longest = int(RATE / HIGHEST_HZ), int(RATE / LOWEST_HZ) + 1
    correlation = _correlation(frames, longest + 1)
    # Every maximum within these lags has two neighbours, which the parabola below needs.
    inner = correlation[:, shortest : longest + 1]
    peak = (inner >= correlation[:, shortest - 1 : longest]) & (
        inner >= correlation[:, shortest + 1 : longest + 2]
    )
    best = torch.where(peak, inner, -1).amax(1, keepdim=True)
    good = peak & (inner >= OCTAVE_TOLERANCE * best)
    lag = good.int().argmax(1) + shortest
    before, at, after = (correlation.gather(1, (lag + d)[:, None])[:, 0] for d in (-1, 0, 1))
    bend = (before - 2 * at + after).clamp(max=-1e-6)
    shift = (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
    energy = frames.square().mean(1)
    loud = energy >= energy.max() * 10 ** (-VOICED_RANGE_DB / 10)
    return RATE / (lag + shift), (best[:, 0] >= VOICED_CORRELATION) & loud & (energy > 0)


def _correlation(frames: torch.Tensor, longest: int) -> torch.Tensor:
    """Correlate each frame with itself, and give (times, longest + 1) values by lag in samples."""
    spectrum = torch.fft.rfft(frames, 2 * WINDOW)
    products = torch.fft.irfft(spectrum.abs().square())[:, : longest + 1]
    sums = functional.pad(frames.square().cumsum(1), (1, 0))
    lags = torch.arange(longest + 1)
    head = sums[:, WINDOW - lags]
    tail = sums[:, -1:] - sums[:, lags]
    return products / (head * tail).sqrt().clamp(min=1e-9)


def compare_pitch(
    found: torch.Tensor, wanted: torch.Tensor, gated: np.ndarray | None = None
) -> dict[str, float]:
    """Compare the pitch of two sounds.

    Args:
        found: audio (samples,).
        wanted: audio of the same shape.
        gated: (frames,) bool, which frames of 80 ms do not count, see `codec.heard`; None if all
            do.

    Returns:
        `voicing_agreement`, the share of times that are voiced in both sounds or in neither; NaN
        if no time counts. For the times that are voiced in both: `error_cents`, the median error,
        and `gross_error_share`, the share of times that are more than 20 % off. These two are NaN
        if no time is voiced in both.
    """
    if gated is not None:
        found, wanted = silence_gated(found, gated), silence_gated(wanted, gated)
    (found_hz, found_voiced), (wanted_hz, wanted_voiced) = track_pitch(found), track_pitch(wanted)
    counted = torch.ones_like(found_voiced)
    if gated is not None:
        middles = torch.arange(len(counted)) * HOP + WINDOW // 2
        counted = heard_at(middles * DECIMATION, gated)
    both = found_voiced & wanted_voiced & counted
    cents = 1200 * (found_hz[both] / wanted_hz[both]).log2().abs()
    gross = cents > 1200 * np.log2(1.2)
    return {
        "voicing_agreement": (found_voiced == wanted_voiced)[counted].float().mean().item(),
        "error_cents": cents.median().item() if both.any() else float("nan"),
        "gross_error_share": gross.float().mean().item(),
    }
