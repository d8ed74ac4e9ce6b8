"""Spectrograms laid over each other: every offset at once as one after the other."""

import numpy as np
import pytest

from mimi_dynamics.speech.alignment import SEGMENT, _by_offset
from mimi_dynamics.speech.fingerprints import BANDS, UNITS_PER_DB


def correlation(segment: np.ndarray, stretch: np.ndarray) -> float:
    """Of two stretches, less their means over time; a sound that changes by 1 dB counts as one."""
    first, second = (of.astype(np.float64) - of.mean(axis=0) for of in (segment, stretch))
    least = SEGMENT * BANDS * UNITS_PER_DB**2
    powers = (max(np.square(of).sum(), least) for of in (first, second))
    return float((first * second).sum() / np.sqrt(np.prod(list(powers))))


@pytest.mark.parametrize("frames", [SEGMENT, 120, 200])
@pytest.mark.parametrize("longer", [0, 7, 86])
def test_every_offset_at_once_is_one_after_the_other(frames: int, longer: int) -> None:
    random = np.random.default_rng(frames + longer)
    a, b = (
        random.normal(-200, 40, (count, BANDS)).astype(np.float32)
        for count in (frames, frames + longer)
    )
    b[3 : 3 + frames - 3] += a[: frames - 3]
    starts = [*range(0, frames - SEGMENT, 25), frames - SEGMENT]
    found = _by_offset(a, b, starts)
    for row, start in enumerate(starts):
        segment, begin = a[start : start + SEGMENT], starts[-1] - start
        places = range(len(b) - SEGMENT + 1)
        expected = [correlation(segment, b[place : place + SEGMENT]) for place in places]
        assert found[row, begin : begin + len(expected)] == pytest.approx(expected, abs=1e-4)
        outside = np.delete(found[row], np.arange(begin, begin + len(expected)))
        assert (outside == -1).all()


def test_a_silent_stretch_has_nothing_to_compare() -> None:
    quiet = np.full((120, BANDS), -300, np.float32)
    assert _by_offset(quiet, quiet, [0]).max() <= 0
