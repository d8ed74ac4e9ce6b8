"""Intervals cover what they should, and pairs are compared as pairs."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate, r2_equivalent
from mimi_dynamics.pipeline.errors import InputError


def clustered(rng: np.random.Generator, clips: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Frames of mean 0 that share a clip effect of variance 1; ten to fifty frames a clip."""
    clip = np.repeat(np.arange(clips), rng.integers(10, 50, clips))
    return rng.normal(size=clips)[clip] + rng.normal(size=len(clip)), clip


def test_interval_covers_the_truth_despite_clusters(
    record_property: Callable[[str, object], None],
) -> None:
    """About 95 of 100 intervals hold the true mean; frame-level ones would hold far fewer."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        values, clip = clustered(rng)
        interval = ClipBootstrap(60, 300, seed=0).mean(values, clip).metrics("m")
        covered += interval["m_ci_low"] <= 0 <= interval["m_ci_high"]
    record_property("intervals over clips that hold the truth", f"{covered} of 200")
    assert 0.89 <= covered / 200 <= 0.99


def test_value_is_the_plain_mean() -> None:
    """Every frame counts the same."""
    values, clip = clustered(np.random.default_rng(1))
    assert ClipBootstrap(60, 100, 0).mean(values, clip).value == pytest.approx(values.mean())


def test_paired_differences_lose_what_is_shared() -> None:
    """A constant shift between two models is known exactly, whatever the clips do."""
    values, clip = clustered(np.random.default_rng(2))
    bootstrap = ClipBootstrap(60, 100, 0)
    difference = bootstrap.mean(values + 0.1, clip) - bootstrap.mean(values, clip)
    assert difference.metrics("d") == pytest.approx({"d": 0.1, "d_ci_low": 0.1, "d_ci_high": 0.1})


def test_clips_without_frames_do_no_harm() -> None:
    """As when a clip has no voiced frame."""
    estimate = ClipBootstrap(4, 100, 0).mean(np.ones(3), np.array([0, 0, 2]))
    assert estimate.metrics("m") == {"m": 1, "m_ci_low": 1, "m_ci_high": 1}


def test_r2_equivalent_of_a_gaussian() -> None:
    """The gain of correlation ρ stands for ρ²."""
    assert r2_equivalent(-0.5 * math.log(1 - 0.8**2)) == pytest.approx(0.64)


def test_the_mean_of_nothing_is_no_number() -> None:
    """It would look like a result."""
    with pytest.raises(InputError, match="has no frame that counts; look at silent_share"):
        ClipBootstrap(4, 100, 0).mean(np.array([]), np.array([], int))


def test_draws_without_a_frame_are_left_out_of_the_interval() -> None:
    """One clip of four has frames: every draw that has them has the same mean."""
    bootstrap = ClipBootstrap(4, 100, 0)
    estimate = bootstrap.mean(np.full(3, 5.0), np.zeros(3, int))
    assert np.isnan(estimate.resamples).any()
    assert estimate.metrics("m") == {"m": 5, "m_ci_low": 5, "m_ci_high": 5}
    every = bootstrap.mean(np.arange(4.0), np.arange(4))
    assert np.isfinite((every - estimate).metrics("m")["m_ci_low"])


@pytest.mark.parametrize(("null", "expected"), [(0.1, 0.3), (0.0, 0.4), (-0.1, 0.4)])
def test_a_null_that_loses_is_not_credited(null: float, expected: float) -> None:
    """As a value and in every draw."""
    found = Estimate(0.4, np.array([0.4, 0.5])).beyond(Estimate(null, np.array([null, -null])))
    assert found.value == pytest.approx(expected)
    assert found.resamples == pytest.approx([0.4 - max(null, 0), 0.5 - max(-null, 0)])
