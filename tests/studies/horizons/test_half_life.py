"""The half-life is a bracket between leads that were measured, and never an interpolation."""

import numpy as np
import pytest

from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.intervals import TrainedEstimate
from mimi_dynamics.report.formatting import half_life as in_words
from mimi_dynamics.studies.horizons.metrics import half_life

DRAWS = np.random.default_rng(0).normal(size=500)


def sure(gain: float) -> Estimate:
    """A gain without any noise."""
    return Estimate(gain, np.full(len(DRAWS), gain))


@pytest.mark.parametrize(
    ("gains", "above", "below"),
    [
        ({80: 0.4, 160: 0.1, 320: 0.05}, 80, 160),
        ({80: 0.4, 160: 0.2, 320: 0.1}, 80, 160),  # halved just there
        ({80: 0.4, 160: 0.3, 320: 0.25}, 320, None),  # never halved
        ({80: 0.4, 160: -0.01, 320: 0.3}, 80, 160),  # gone at once: the first crossing counts
        ({320: 0.1, 80: 0.4, 160: 0.3}, 160, 320),  # in any order
        ({80: 0.4}, 80, None),
        ({80: -0.1, 160: 0.2}, None, None),  # nothing to halve
    ],
)
def test_curves_without_noise(
    gains: dict[int, float], above: int | None, below: int | None
) -> None:
    """They can be read off by hand, with and without trainings that agree."""
    known = {"half_life_above_ms": above, "half_life_below_ms": below}
    expected = {name: lead for name, lead in known.items() if lead}
    estimates = {lead: sure(gain) for lead, gain in gains.items()}
    assert half_life(estimates) == expected
    first = min(estimates)
    assert half_life(estimates | {first: TrainedEstimate((estimates[first],) * 3)}) == expected


def test_a_crossing_that_is_not_sure_widens_the_bracket() -> None:
    """At 160 ms the gain is half in some draws of clips and more in others."""
    noisy = Estimate(0.21, 0.21 + 0.01 * DRAWS)
    gains = {80: sure(0.4), 160: noisy, 320: sure(0.05)}
    assert half_life(gains) == {"half_life_above_ms": 80, "half_life_below_ms": 320}
    paired = {lead: Estimate(g, g * (1 + 0.2 * DRAWS)) for lead, g in ((80, 0.4), (160, 0.1))}
    assert half_life(paired) == {"half_life_above_ms": 80, "half_life_below_ms": 160}


def test_trainings_that_disagree_widen_it_too() -> None:
    """Half of 0.36, 0.40 and 0.44 is 0.20 ± 0.05 by seeds alone: 0.16 is not surely less."""
    trained = TrainedEstimate((sure(0.36), sure(0.40), sure(0.44)))
    later = {160: sure(0.16), 320: sure(0.05)}
    assert half_life({80: trained} | later)["half_life_below_ms"] == 320
    assert half_life({80: sure(0.40)} | later)["half_life_below_ms"] == 160


def test_a_draw_of_nothing_is_left_out() -> None:
    """As everywhere."""
    gap = Estimate(0.1, np.append(np.full(len(DRAWS) - 1, 0.1), np.nan))
    assert half_life({80: sure(1.0), 160: gap}) == {
        "half_life_above_ms": 80,
        "half_life_below_ms": 160,
    }


def test_words() -> None:
    """For the page and docs/explanation/findings.md."""
    above = {"half_life_above_ms": 80}
    assert in_words(above | {"half_life_below_ms": 160}) == "between 80 and 160 ms ahead"
    assert in_words(above) == "only beyond 80 ms ahead, if at all"
    assert in_words({}) == "at a lead that is not known"
