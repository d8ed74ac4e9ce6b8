"""Sound at another rate is the same sound, of which nothing was heard ahead."""

import numpy as np
import pytest

from mimi_dynamics.codec.resampling import Resampler

RATES = [(24_000, 16_000), (16_000, 24_000), (24_000, 44_100), (24_000, 24_000)]


def convert(resampler: Resampler, audio: np.ndarray, *, part: int) -> np.ndarray:
    """Convert sound `part` samples at a time."""
    before, results = resampler.silence(), []
    for start in range(0, len(audio), part):
        piece = audio[start : start + part]
        results.append(resampler.convert(piece, before))
        before = np.concatenate([before, piece])[-resampler.reach :]
    return np.concatenate(results)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_tone_stays_a_tone(source: int, target: int) -> None:
    """Of the same loudness, and late by `delay`."""
    resampler = Resampler(source, target)
    tone = np.sin(2 * np.pi * 1_000 * np.arange(source // 10) / source).astype(np.float32)
    found = convert(resampler, tone, part=len(tone))
    assert len(found) == target // 10
    assert found.dtype == np.float32
    wanted = np.sin(2 * np.pi * 1_000 * (np.arange(target // 10) - resampler.delay) / target)
    np.testing.assert_allclose(
        found[3 * resampler.delay :], wanted[3 * resampler.delay :], atol=5e-3
    )


@pytest.mark.parametrize(("source", "target"), RATES)
def test_in_parts_or_at_once(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    samples = 12 * resampler.sources * 10
    audio = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    whole = convert(resampler, audio, part=samples)
    for part in (resampler.sources, 10 * resampler.sources):
        np.testing.assert_allclose(convert(resampler, audio, part=part), whole, atol=1e-5)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_nothing_is_heard_ahead_nor_from_too_far_back(source: int, target: int) -> None:
    """Samples after a point change nothing before it, and those before it nothing after `reach`."""
    resampler = Resampler(source, target)
    half = 20 * resampler.reach // resampler.sources * resampler.sources
    audio, other = np.random.default_rng(0).standard_normal((2, 2 * half)).astype(np.float32)
    middle = half * target // source
    whole = convert(resampler, audio, part=2 * half)
    later = convert(resampler, np.concatenate([audio[:half], other[half:]]), part=2 * half)
    earlier = convert(resampler, np.concatenate([other[:half], audio[half:]]), part=2 * half)
    assert np.array_equal(whole[:middle], later[:middle])
    reach = -(-resampler.reach * target // source)
    assert np.array_equal(whole[middle + reach :], earlier[middle + reach :])
