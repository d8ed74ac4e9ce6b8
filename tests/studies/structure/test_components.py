"""The gain by component sums to the whole, and lies where it is known to."""

from dataclasses import replace

import numpy as np
import pytest

from mimi_dynamics.density.fit import FitSpec, fit_densities
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.studies.structure.components import component_gains, effect_metrics
from tests.density.test_fit import SMALL
from tests.harness.simulation import simulate


@pytest.mark.trains
def test_gain_is_where_the_dynamics_are() -> None:
    """A coordinate without dynamics gains nothing; all of them sum to the gain of the frame."""
    data = simulate("linear", 40_000, 3)
    frames = data.frames.clone()
    frames[:, 1] = simulate("white_noise", 40_000, 1).frames[:, 0]
    job = FitSpec("real", replace(data, frames=frames), "autoregressive", 1, SMALL, 0)
    fitted = fit_densities(job)
    fits = {(job.row, job.head, density): of for density, of in fitted.items()}
    gains = component_gains(job, fits, "test")
    whole = fitted["marginal"].nll["test"] - fitted["conditional"].nll["test"]
    np.testing.assert_allclose(gains.sum(1), whole, atol=1e-3)
    # 0.495, 0.000 and 0.531 on these frames, ± 0.001 over three seeds of training: what is off is
    # chance in 4,000 test frames, and the same on every processor.
    assert gains.mean(0) == pytest.approx([0.511, 0, 0.511], abs=0.04)


def test_weights_say_what_counts() -> None:
    """A component that the ear cannot hear does not count; equal weights are the plain mean."""
    gains, clip = np.array([[1.0, 3.0]] * 20), np.repeat(np.arange(4), 5)
    bootstrap = ClipBootstrap(4, 50, 0)
    deaf = effect_metrics(gains, np.array([0.2, 0.0]), clip, bootstrap)["by_effect_on_sound"]
    even = effect_metrics(gains, np.array([0.2, 0.2]), clip, bootstrap)["by_effect_on_sound"]
    assert deaf["weighted_gain_nats_per_dim"] == pytest.approx(1)
    assert even["weighted_gain_nats_per_dim"] == pytest.approx(2)
    assert deaf["plain_gain_nats_per_dim"] == pytest.approx(2)
    assert deaf["least_heard_half"]["gain_share"] == pytest.approx(3 / 4)
    assert deaf["least_heard_half"]["effect_share"] == 0


def test_without_a_decoder_there_are_gains_and_no_effects() -> None:
    gains, clip = np.array([[1.0, 3.0]] * 20), np.repeat(np.arange(4), 5)
    found = effect_metrics(gains, None, clip, ClipBootstrap(4, 50, 0))
    assert found.keys() == {"component"}
    assert [of["gain_nats"] for of in found["component"].values()] == [1, 3]
    assert not any("effect" in key for of in found["component"].values() for key in of)
