"""Whether two recordings hold the same performance: their spectrograms, laid over each other.

Two seconds must agree at one offset and one speed, or all of a shorter sound; where there are
pauses, what is left without them. Two readings of a sentence by one voice never keep the same pace
and pitch for so long; the numbers are in docs/explanation/duplicates.md.
"""

import numpy as np

from mimi_dynamics.speech.fingerprints import BANDS, FLOOR, LOWEST, UNITS_PER_DB, WIDTH, Fingerprint

SEGMENT = 50  # frames: 1 s, each 0.5 s
PIECE = 25  # frames, of a short sound with a pause in it
AROUND = 100  # frames: 2 s to either side of where the codes agreed
EDGE = 3  # frames
DRIFT = 40  # frames that an offset may be wrong by, as one speed is assumed where there is another
FINE_STEPS = (-0.0083, 0.0, 0.0083)
SPEEDS = (0.9, 0.925, 0.95, 0.975, 1.025, 1.05, 1.075, 1.1)
# Agreement from which two seconds are one performance. Between readings of one sentence (half of
# Kathleen's: 1,440 pairs) it was at most 0.684 at one speed and 0.769 at another speed; between two
# simulated microphones it was at least 0.767 (100 pairs). Where silence was added to both of two
# readings, its edges made 0.746.
SAME, SAME_AT_OTHER_SPEED = 0.75, 0.82
SAME_WITHOUT_PAUSES = 0.70  # readings: 0.663 at most
SAME_IN_PIECES = 0.77  # readings of the same 0.8 to 1.8 s (2,904 pairs): 0.749 at most
SHORT = 0.04  # that sounds of less than two seconds must agree more
HOPEFUL = 0.8  # below this agreement in level, agreement of changes is not asked for
PROMISING = 0.7  # below this, half a frame more or less would not help
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
    # A copy that starts a part of a frame later may end a frame beyond the last one.
    b, speaking = np.pad(b, ((EDGE, EDGE), (0, 0)), mode="edge"), np.pad(speaking, EDGE)
    score, level = _compare(a, active, b)
    best = score - SAME
    if best < 0:
        # A pause inside moves what follows it. Without pauses the two are the same again, but for
        # a part of a frame where the pause was.
        dense, other = a[active], b[speaking]
        speech = np.ones(max(SEGMENT, len(dense)), bool)
        score, _ = _compare(_long(dense), speech, _long(other), loose=True)
        best = max(best, score - SAME_WITHOUT_PAUSES)
        if best < 0 and PIECE <= len(dense) <= 2 * SEGMENT and len(other) >= PIECE:
            best = max(best, _in_pieces(dense, other) - SAME_IN_PIECES)
    if best < 0 and level >= SPEED_HOPE:
        best = max(best, _at_other_speed(a, active, b) - SAME_AT_OTHER_SPEED)
    return best


def _in_pieces(a: np.ndarray, b: np.ndarray) -> float:
    """Agreement of a whole short sound, each half second within two frames of its place.

    Of less than two seconds, a pause inside leaves hardly a second that it does not touch.
    """
    starts = _starts(a, np.ones(len(a), bool), PIECE)
    b = np.pad(b, ((EDGE, EDGE), (0, 0)), mode="edge")
    level, changes = (
        _widened(_loosely(version, _half_later(version), other, starts, PIECE))
        for version, other in ((a, b), (_changes(a), _changes(b)))
    )
    return float(((level + changes) / 2).mean(axis=0).max())


def _at_other_speed(a: np.ndarray, active: np.ndarray, b: np.ndarray) -> float:
    """Agreement at the best speed, which is looked for in steps of 2.5 % and then of 0.8 %."""

    def at(speed: float) -> tuple[float, float]:
        return _compare(_faster(a, speed), _faster_flags(active, speed), b)

    level, speed = max((at(speed)[1], speed) for speed in SPEEDS)
    if level < PROMISING:
        return -2.0
    return max(at(speed + step)[0] for step in FINE_STEPS)


def _cut(print_: Fingerprint, centre: int, around: int) -> tuple[np.ndarray, np.ndarray]:
    part = slice(max(0, centre - around), centre + around)
    spectrum, active = print_.spectrum[part].astype(np.float32), print_.active[part]
    lacking = max(0, SEGMENT - len(active))
    return _long(spectrum), np.pad(active, (0, lacking))


def _long(spectrum: np.ndarray) -> np.ndarray:
    """At least one segment, with silence after a shorter sound."""
    lacking = max(0, SEGMENT - len(spectrum))
    return np.pad(spectrum, ((0, lacking), (0, 0)), constant_values=QUIET)


def _compare(
    a: np.ndarray, active: np.ndarray, b: np.ndarray, loose: bool = False
) -> tuple[float, float]:
    """Agreement in level and its changes, -2 if there is little, and that in level alone.

    Args:
        a: float32 [frames, bands].
        active: bool [frames], where someone speaks in `a`.
        b: float32 [frames, bands], where `a` is looked for.
        loose: every segment may lie a frame to either side.
    """
    starts = _starts(a, active)
    if not starts:
        return -2.0, -1.0
    best = -2.0, -1.0
    half = _half_later(a)  # Half a frame makes 0.04 of agreement.
    for shifted in (a, half):
        level = _loosely(shifted, half, b, starts) if loose else _by_offset(shifted, b, starts)
        score, (rows, offset) = _best(level)
        both = -2.0
        if score >= HOPEFUL:
            if loose:
                changes = _loosely(_changes(shifted), _changes(half), _changes(b), starts)
            else:
                changes = _by_offset(_changes(shifted), _changes(b), starts)
            both = (score + float(changes[rows, offset].mean())) / 2
            both -= SHORT if len(starts) < 3 else 0.0
        best = max(best[0], both), max(best[1], score)
        if loose or score < PROMISING:
            break
    return best


def _changes(spectrum: np.ndarray) -> np.ndarray:
    return np.diff(spectrum, axis=0, append=spectrum[-1:])


def _half_later(a: np.ndarray) -> np.ndarray:
    """The same half a frame later."""
    return np.concatenate([(a[1:] + a[:-1]) / 2, a[-1:]])


def _loosely(
    a: np.ndarray, half: np.ndarray, b: np.ndarray, starts: list[int], length: int = SEGMENT
) -> np.ndarray:
    """`_by_offset` where a segment may lie half a frame later, and a frame to either side."""
    found = np.maximum(_by_offset(a, b, starts, length), _by_offset(half, b, starts, length))
    return _widened(found)


def _widened(by_offset: np.ndarray) -> np.ndarray:
    """The largest of three neighbouring offsets."""
    padded = np.pad(by_offset, ((0, 0), (1, 1)), constant_values=-1)
    return np.maximum(by_offset, np.maximum(padded[:, :-2], padded[:, 2:]))


def _starts(a: np.ndarray, active: np.ndarray, length: int = SEGMENT) -> list[int]:
    """First frames of the segments in half of which or more someone speaks."""
    starts = [*range(0, len(a) - length, length // 2), len(a) - length]
    return [start for start in starts if active[start : start + length].sum() >= 0.5 * length]


def _best(by_offset: np.ndarray) -> tuple[float, tuple[slice, int]]:
    """Agreement in the best two seconds, or in all of a shorter sound, and where that is."""
    count = min(3, len(by_offset))
    best: tuple[float, tuple[slice, int]] = (-1.0, (slice(0, count), 0))
    for first in range(len(by_offset) - count + 1):
        means = by_offset[first : first + count].mean(axis=0)
        offset = int(means.argmax())
        if means[offset] > best[0]:
            best = (float(means[offset]), (slice(first, first + count), offset))
    return best


def _by_offset(
    a: np.ndarray, b: np.ndarray, starts: list[int], length: int = SEGMENT
) -> np.ndarray:
    """Correlation [segments of a, offsets] with b; -1 where a segment would lie outside b.

    The mean of each band over the segment is subtracted, as it is the microphone's.
    """
    sums = np.cumsum(np.pad(b, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    squares = np.cumsum(np.pad((b**2).sum(axis=1), (1, 0)), dtype=np.float64)
    power = squares[length:] - squares[:-length]
    power -= ((sums[length:] - sums[:-length]) ** 2).sum(axis=1) / length
    # A sound that hardly changes (1 dB) has nothing to compare.
    least = length * BANDS * UNITS_PER_DB**2
    norms = np.sqrt(np.maximum(power, least))
    places = len(power)
    by_offset = np.full((len(starts), places + starts[-1] - starts[0]), -1.0, np.float32)
    for row, start in enumerate(starts):
        segment = a[start : start + length]
        segment = segment - segment.mean(axis=0)
        begin = starts[-1] - start
        norm = np.sqrt(max(np.square(segment).sum(), least))
        by_offset[row, begin : begin + places] = _products_along(segment, b) / (norm * norms)
    return by_offset


def _products_along(segment: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Give Σ_t segment[t] · b[place + t] at every place of b.

    All frames of the two are multiplied once, and sums run along diagonals. To lay every stretch
    of b out for a product of matrices took six times as long.
    """
    length, width = len(segment), len(b) + len(segment)
    products = np.empty((length, width), np.float32)
    products[:, : len(b)] = np.ascontiguousarray(segment[::-1]) @ b.T
    # Read in rows that are shorter by one, a diagonal becomes a column.
    diagonals = products.ravel()[: length * (width - 1)].reshape(length, width - 1)
    return diagonals[:, length - 1 : len(b)].sum(axis=0)


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
