"""Whether two recordings hold the same performance: their spectrograms, laid over each other.

Two seconds must agree at one offset and one speed. Two readings of a sentence by one voice never
keep the same pace and pitch for so long; the numbers are in docs/duplicates.md.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mimi_dynamics.speech.fingerprints import BANDS, FLOOR, LOWEST, UNITS_PER_DB, WIDTH, Fingerprint

SEGMENT, STEP = 50, 25  # frames: 1 s, each 0.5 s
AROUND = 100  # frames: 2 s to either side of where the codes agreed
DRIFT = 40  # frames that an offset may be wrong by, as one speed is assumed where there is another
SPEEDS = (0.9, 0.925, 0.95, 0.975, 1.025, 1.05, 1.075, 1.1)
SAME = 0.78  # agreement from which two seconds are one performance
SAME_SHORT = 0.84  # from which a clip of less than two seconds is
HOPEFUL = 0.8  # below this agreement in level, agreement of changes is not asked for
SPEED_HOPE = 0.45  # below this agreement at one speed, no other is tried
QUIET = UNITS_PER_DB * 10 * np.log10(FLOOR)


def same_performance(first: Fingerprint, second: Fingerprint, at: tuple[int, int]) -> bool:
    """Tell whether two recordings hold the same performance where their codes agree.

    Args:
        first: the shorter of the two, if one is.
        second: the other one.
        at: the frames of the two at which codes agree.
    """
    return agreement(first, second, at) >= 0


def agreement(first: Fingerprint, second: Fingerprint, at: tuple[int, int]) -> float:
    """How far above what is asked for two recordings agree, between -2 and 1.

    Arguments are those of `same_performance`.
    """
    a, active = _cut(first, at[0], AROUND)
    b, speaking = _cut(second, at[1], AROUND + DRIFT)
    best, level = _margin(a, active, b, 1.0)
    if best >= 0:
        return best
    # A pause inside moves what follows it. Without pauses the two are the same again.
    dense = _margin(
        _long(a[active]), np.ones(max(active.sum(), SEGMENT), bool), _long(b[speaking]), 1.0
    )[0]
    best = max(best, dense)
    if best < 0 and level >= SPEED_HOPE:
        best = max([best, *(_margin(a, active, b, speed)[0] for speed in SPEEDS)])
    return best


def _cut(print_: Fingerprint, centre: int, around: int) -> tuple[np.ndarray, np.ndarray]:
    part = slice(max(0, centre - around), centre + around)
    spectrum, active = print_.spectrum[part].astype(np.float32), print_.active[part]
    lacking = max(0, SEGMENT - len(active))
    return _long(spectrum), np.pad(active, (0, lacking))


def _long(spectrum: np.ndarray) -> np.ndarray:
    """At least one segment, with silence after a shorter sound."""
    lacking = max(0, SEGMENT - len(spectrum))
    return np.pad(spectrum, ((0, lacking), (0, 0)), constant_values=QUIET)


def _margin(a: np.ndarray, active: np.ndarray, b: np.ndarray, speed: float) -> tuple[float, float]:
    """Agreement at one speed less what is asked for, and the agreement in level alone."""
    a, active = _faster(a, speed), _faster_flags(active, speed)
    best, level = -2.0, -1.0
    for shifted in (a, (a[1:] + a[:-1]) / 2):  # Half a frame makes 0.04 of agreement.
        starts = _starts(_long(shifted), active)
        if not starts:
            continue
        shifted = _long(shifted)
        by_offset = _by_offset(shifted, b, starts)
        score, where, short = _best(by_offset, starts)
        level = max(level, score)
        if score >= HOPEFUL:
            changes = _by_offset(
                np.diff(shifted, axis=0, append=shifted[-1:]),
                np.diff(b, axis=0, append=b[-1:]),
                starts,
            )
            score = (score + float(changes[where].mean())) / 2
            best = max(best, score - (SAME_SHORT if short else SAME))
    return best, level


def _starts(a: np.ndarray, active: np.ndarray) -> list[int]:
    """First frames of the segments in which someone speaks for 0.4 s or more."""
    starts = [*range(0, len(a) - SEGMENT, STEP), len(a) - SEGMENT]
    return [start for start in starts if active[start : start + SEGMENT].sum() >= 0.4 * SEGMENT]


def _best(by_offset: np.ndarray, starts: list[int]) -> tuple[float, tuple[slice, int], bool]:
    """Agreement in the best two seconds, or in all of a shorter sound; where; if it is short."""
    count = min(3, len(starts))
    best: tuple[float, tuple[slice, int]] = (-1.0, (slice(0, count), 0))
    for first in range(len(starts) - count + 1):
        rows = slice(first, first + count)
        means = by_offset[rows].mean(axis=0)
        offset = int(means.argmax())
        if means[offset] > best[0]:
            best = (float(means[offset]), (rows, offset))
    return *best, count < 3


def _by_offset(a: np.ndarray, b: np.ndarray, starts: list[int]) -> np.ndarray:
    """Correlation [segments of a, offsets] with b; -1 where a segment would lie outside b.

    The mean of each band over the segment is subtracted, as it is the microphone's.
    """
    windows = sliding_window_view(b, SEGMENT, axis=0).transpose(0, 2, 1)
    places = len(windows)
    sums = np.cumsum(np.pad(b, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    squares = np.cumsum(np.pad((b**2).sum(axis=1), (1, 0)), dtype=np.float64)
    power = squares[SEGMENT:] - squares[:-SEGMENT]
    power -= ((sums[SEGMENT:] - sums[:-SEGMENT]) ** 2).sum(axis=1) / SEGMENT
    # A sound that hardly changes (1 dB) has nothing to compare.
    least = SEGMENT * BANDS * UNITS_PER_DB**2
    segments = np.stack([a[start : start + SEGMENT] for start in starts])
    segments -= segments.mean(axis=1, keepdims=True)
    segments = segments.reshape(len(starts), -1)
    norms = np.sqrt(np.maximum((segments**2).sum(axis=1), least))
    correlation = segments @ windows.reshape(places, -1).T
    correlation /= norms[:, None] * np.sqrt(np.maximum(power, least)).astype(np.float32)
    by_offset = np.full((len(starts), places + starts[-1] - starts[0]), -1.0, np.float32)
    for row, start in enumerate(starts):
        begin = starts[-1] - start
        by_offset[row, begin : begin + places] = correlation[row]
    return by_offset


def _faster(spectrum: np.ndarray, speed: float) -> np.ndarray:
    """The spectrogram of a sound played `speed` times as fast: shorter and higher."""
    if speed == 1.0:
        return spectrum
    times = np.arange(int((len(spectrum) - 1) / speed)) * speed
    frames = times.astype(int)
    part = (times - frames)[:, None].astype(np.float32)
    spectrum = spectrum[frames] * (1 - part) + spectrum[frames + 1] * part
    centres = LOWEST + WIDTH * (np.arange(BANDS) + 0.5)
    places = np.clip((centres / speed - LOWEST) / WIDTH - 0.5, 0, BANDS - 1)
    bands = np.minimum(places.astype(int), BANDS - 2)
    weight = (places - bands).astype(np.float32)
    return spectrum[:, bands] * (1 - weight) + spectrum[:, bands + 1] * weight


def _faster_flags(active: np.ndarray, speed: float) -> np.ndarray:
    return active[(np.arange(int((len(active) - 1) / speed)) * speed).astype(int)]
