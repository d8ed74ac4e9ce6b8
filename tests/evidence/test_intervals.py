"""Intervals over trainings and voices are what their formulas say, and hold what they should."""

import numpy as np
import pytest

from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.intervals import (
    ByVoice,
    TrainedEstimate,
    over_trainings,
    over_voices,
)

DRAWS = np.array([-0.1, 0.1])  # standard deviation 0.1


def trained(*values: float, draws: np.ndarray = DRAWS) -> TrainedEstimate:
    """One training for each value, each with the same noise over draws of clips."""
    return TrainedEstimate(tuple(Estimate(value, value + draws) for value in values))


def half_width(metrics: dict[str, float], name: str) -> float:
    """Half the width of an interval that has its number in its middle."""
    low, high = metrics[f"{name}_ci_low"], metrics[f"{name}_ci_high"]
    assert (low + high) / 2 == pytest.approx(metrics[name])
    return (high - low) / 2


def test_three_trainings_by_hand() -> None:
    """T with 2 degrees of freedom is 4.3027 at 97.5 %; 1, 2 and 3 have standard deviation 1."""
    found = trained(1, 2, 3).metrics("gain")
    assert half_width(found, "gain") == pytest.approx(np.hypot(0.195996, 4.302653 / np.sqrt(3)))
    assert found["gain"] == 2
    assert (found["gain_trainings"], found["gain_training_sd"]) == (3, 1)


def test_trainings_that_agree_leave_the_interval_over_clips() -> None:
    """Whatever their number, and the percentile interval of a normal is the same."""
    draws = np.random.default_rng(0).normal(0, 0.1, 20_000)
    for count in (2, 3, 7):
        found = trained(*[0.4] * count, draws=draws).metrics("gain")
        assert half_width(found, "gain") == pytest.approx(0.196, abs=0.004)
        assert found["gain_training_sd"] == pytest.approx(0)
    (single,) = trained(0.4, draws=draws).trainings
    assert single.metrics("gain")["gain_ci_high"] == pytest.approx(0.596, abs=0.01)
    assert over_trainings([single]) is single


def test_differences_are_paired_by_training_and_by_clip() -> None:
    """What two numbers share, be it luck with seeds or with clips, cancels; and so in a ratio."""
    first, second = trained(1, 2, 3), trained(1.5, 2.5, 3.5)
    for found in (second - first, -(first - second)):
        assert half_width(found.metrics("d"), "d") == pytest.approx(0, abs=1e-12)
        assert found.metrics("d")["d"] == pytest.approx(0.5)
    assert half_width((first / first).metrics("r"), "r") == pytest.approx(0)
    crossed = trained(3, 2, 1) - first
    assert crossed.metrics("d")["d_training_sd"] == pytest.approx(2)


def test_what_is_fitted_once_is_the_same_for_every_training() -> None:
    """A linear model has no seeds: only the clips cancel."""
    linear = Estimate(1, 1 + DRAWS)
    found = (trained(1, 2, 3) - linear).metrics("d")
    assert half_width(found, "d") == pytest.approx(4.302653 / np.sqrt(3))
    assert (trained(1, 2, 3) / 2).metrics("d")["d"] == 1
    with pytest.raises(ValueError, match="longer"):
        trained(1, 2) - trained(1, 2, 3)
    with pytest.raises(AttributeError):  # It would drop the spread of trainings.
        linear - trained(1, 2, 3)


def test_draws_of_no_frame_are_left_out() -> None:
    """As they are of an interval over clips alone."""
    found = trained(1, 1, draws=np.append(DRAWS, np.nan)).metrics("gain")
    assert half_width(found, "gain") == pytest.approx(0.196, abs=0.001)


VOICES = np.array(["b", "a", "a", "c", "d"])


def test_every_voice_counts_the_same() -> None:
    """However many clips and frames it has: 1, 2, 3 and 6 by voice have mean 3."""
    clip = np.array([0, 1, 1, 1, 2, 3, 4])
    values = np.array([2, 1, 1, 0, 2, 3, 6])
    of_voice = ByVoice(VOICES).mean(values, clip)
    assert of_voice.resamples.tolist() == [1, 2, 3, 6]
    assert of_voice.value == ClipBootstrap(5, 10, 0).mean(values, clip).value
    found = over_voices(of_voice, "gain")
    assert (found["gain"], found["voices"]) == (3, 4)
    # t with 3 degrees of freedom is 3.1824 at 97.5 %; the variance of 1, 2, 3 and 6 is 14 / 3.
    assert half_width(found, "gain") == pytest.approx(3.182446 * np.sqrt(14 / 3 / 4))
    assert over_voices(over_trainings([of_voice] * 3), "gain") == found


def test_two_voices_are_too_few() -> None:
    """And so are three of which one has no frame that counts."""
    clip = np.array([0, 1, 3])
    of_voice = ByVoice(VOICES[:4]).mean(np.ones(3), clip)
    assert over_voices(of_voice, "gain")["voices"] == 3
    for few in (of_voice.resamples[:2], np.array([1, 2, np.nan])):
        assert over_voices(Estimate(1, few), "gain") == {}
