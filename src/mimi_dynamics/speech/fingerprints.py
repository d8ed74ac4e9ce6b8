"""What is kept of a recording so that copies of it can be found by their sound.

A fingerprint is a coarse spectrogram and, for each of its frames, 48 bits that tell the shape of
the 0.64 s around it. A microphone's colouration and a gain add a constant to each band in decibels;
the bits do not see it, and `alignment` subtracts it.
"""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from scipy.signal import fftconvolve

from mimi_dynamics.speech.audio import SAMPLE_RATE

HOP = 480  # samples: 20 ms
WINDOW = 1024  # samples: 43 ms, so that the harmonics of most voices are seen one by one
BANDS, LOWEST, WIDTH = 64, 100.0, 50.0  # to 3300 Hz, which telephones and MP3 at 64 kb/s keep
FLOOR = 0.03  # of a band's loud level: noise and reverberation below −15 dB are not looked at
UNITS_PER_DB = 4.0
PATCH = 32  # frames that a code tells of
TIME_ORDERS, BAND_ORDERS = 6, 8
BITS = TIME_ORDERS * BAND_ORDERS
KEY_BITS = 24  # of the lowest orders, which change least from a copy to the next
WEAK = 4  # bits of a key that are nearest to the other value
QUIET_DB = 25.0  # below its loud level, a frame is a pause
SILENT_DB = 40.0  # below the loudest frame, a frame tells nothing of what is loud


@dataclass(frozen=True)
class Fingerprint:
    """What a recording sounds like, in 79 bytes for 20 ms: 14 MB for an hour.

    Attributes:
        spectrum: int8 [frames, 64], level of each band against its own loud level, in 0.25 dB.
        active: bool [frames], where someone speaks.
        codes: uint64 [frames], 48 bits, the lowest 24 of which are the key of an index.
        weak: uint8 [frames, 4], which bits of the key are the least certain.
        digest: of the spectrum. It orders recordings in a way that no file name changes.
    """

    spectrum: np.ndarray
    active: np.ndarray
    codes: np.ndarray
    weak: np.ndarray
    digest: bytes


def fingerprint(samples: np.ndarray) -> Fingerprint:
    """Describe a recording.

    Args:
        samples: int16, or float within [-1, 1], of shape [samples], mono at 24 kHz. It may be
            empty.

    Raises:
        ValueError: the samples have more than one axis, or are not finite.
    """
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError(f"samples must be finite and have one axis, not {samples.shape}")
    scale = 2.0**-15 if samples.dtype == np.int16 else 1.0
    mono = samples.astype(np.float32) * np.float32(scale)
    energy = _band_energy(mono - mono.mean() if mono.size else mono)
    total = energy.sum(axis=1)
    # Silence that was added before a copy, or into it, must not change what is loud in it.
    sounding = total >= 10 ** (-SILENT_DB / 10) * total.max()
    loud = np.percentile(energy[sounding], 95, axis=0)
    # What lies 50 dB under the loudest band (a codec's upper limit) is no speech, nor is 1e-9.
    loud = np.maximum(loud, 1e-5 * loud.max()) + 1e-6
    level = 10 * np.log10(energy / loud + FLOOR)
    spectrum = np.clip(np.rint(UNITS_PER_DB * level), -128, 127).astype(np.int8)
    active = total > np.percentile(total[sounding], 95) * 10 ** (-QUIET_DB / 10) + 1e-5
    codes, weak = _codes(spectrum.astype(np.float32))
    return Fingerprint(spectrum, active, codes, weak, sha256(spectrum.tobytes()).digest())


def _pooling() -> np.ndarray:
    """Triangles [bins, bands] that sum the power of a spectrum into bands."""
    bins = np.arange(WINDOW // 2 + 1) * SAMPLE_RATE / WINDOW
    centres = LOWEST + WIDTH * (np.arange(BANDS) + 0.5)
    pooling = np.clip(1 - np.abs(bins[:, None] - centres) / WIDTH, 0, None)
    return pooling[: int(np.flatnonzero(pooling.any(axis=1)).max()) + 1].astype(np.float32)


POOLING = _pooling()


def _band_energy(mono: np.ndarray) -> np.ndarray:
    """Energy float32 [frames, bands], a frame each 20 ms; in parts, since spectra are large."""
    padded = np.pad(mono, WINDOW // 2)
    frames = sliding_window_view(padded, WINDOW)[::HOP]
    window = np.hanning(WINDOW).astype(np.float32)
    parts = []
    for start in range(0, len(frames), 512):
        spectra = np.fft.rfft(frames[start : start + 512] * window, axis=1)[:, : len(POOLING)]
        parts.append((spectra.real**2 + spectra.imag**2).astype(np.float32) @ POOLING)
    return np.concatenate(parts)


def _codes(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signs of a two-dimensional cosine transform around each frame, lowest orders first.

    The constant in time is left out, so what is added to a whole band changes nothing.

    Args:
        spectrum: float32 [frames, bands].

    Returns:
        The codes and the weak bits of a fingerprint.
    """
    shapes = dct(np.eye(BANDS, dtype=np.float32), axis=0, norm="ortho")[:BAND_ORDERS]
    # Around the clip lies silence, as it does around the same clip in a longer recording.
    quiet = UNITS_PER_DB * 10 * np.log10(FLOOR)
    padded = np.pad(spectrum, ((PATCH // 2, PATCH // 2 - 1), (0, 0)), constant_values=quiet)
    bands = padded @ shapes.T
    courses = dct(np.eye(PATCH, dtype=np.float32), axis=0, norm="ortho")[1 : TIME_ORDERS + 1]
    values = np.stack(
        [fftconvolve(bands, course[::-1, None], mode="valid", axes=0) for course in courses], 1
    )  # [frames, time orders, band orders]
    orders = np.add.outer(np.arange(TIME_ORDERS), np.arange(BAND_ORDERS))
    ranked = np.argsort(orders.ravel(), kind="stable")
    values = values.reshape(len(values), BITS)[:, ranked].astype(np.float32)
    powers = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
    codes = ((values > 0) * powers).sum(axis=1, dtype=np.uint64)
    # Without the division, bits of high orders would always count as weak.
    usual = np.sqrt((values[:, :KEY_BITS] ** 2).mean(axis=0)) + 1e-6
    weak = np.argsort(np.abs(values[:, :KEY_BITS]) / usual, axis=1, kind="stable")[:, :WEAK]
    return codes, weak.astype(np.uint8)
