"""The estimator finds nothing where there is nothing, and what there is where it is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mimi_dynamics.density.fit import FitSpec, fit_densities
from mimi_dynamics.density.training import DivergedError
from mimi_dynamics.diagnostics.processes import VAR_GAIN
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import PredictParams, load_params
from tests.harness import ROOT
from tests.harness.simulation import simulate

pytestmark = pytest.mark.trains

SETTINGS = load_params(ROOT / "params.yaml").predict
SMALL = SETTINGS.model_copy(
    update={
        "width": 32,
        "components": 4,
        "pretrain_epochs": 2,
        "epochs": 5,
        "min_steps": 1,
        "var_order": 2,
        "batch_frames": 200,
    }
)


def gain(
    data: Sequences,
    head: str,
    *,
    delta: bool = False,
    params: PredictParams = SMALL,
    horizon: int = 1,
) -> float:
    """Estimated gain in nats per dimension, on x or on Δx."""
    job = FitSpec("real", data, head, horizon, params, 0)
    fitted = fit_densities(job)
    if delta:
        fitted |= fit_densities(replace(job, delta=True))
    marginal = fitted["delta_marginal" if delta else "marginal"]
    difference = marginal.nll["test"].mean() - fitted["conditional"].nll["test"].mean()
    return float(difference) / data.dim


@pytest.mark.parametrize(
    "head",
    ["var", "gaussian", *(pytest.param(head, marks=pytest.mark.slow) for head in ("mdn", "flow"))],
)
def test_white_noise_gains_nothing_on_x_and_half_ln_2_on_its_change(head: str) -> None:
    """The artefact that this project exists to avoid, reproduced and named."""
    data = simulate("white_noise", 20_000, 4)
    assert gain(data, head) == pytest.approx(0, abs=0.005)
    assert gain(data, head, delta=True) == pytest.approx(0.5 * math.log(2), abs=0.015)


@pytest.mark.parametrize("head", ["var", "gaussian", "mdn", "flow"])
def test_linear_gain_is_recovered(head: str) -> None:
    """At least 97 % of a VAR(1)'s information, and not more than there is."""
    assert gain(simulate("linear", 20_000, 4), head) / VAR_GAIN == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("horizon", [2, 4])
def test_gain_decays_as_it_must(horizon: int) -> None:
    """ρ^k ahead, a VAR(1) tells −½ ln(1 − ρ^2k)."""
    true = -0.5 * math.log(1 - 0.8 ** (2 * horizon))
    found = gain(simulate("linear", 40_000, 4), "gaussian", horizon=horizon)
    assert found == pytest.approx(true, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["mdn", "flow"])
def test_sign_flips_are_found_where_linear_models_are_blind(head: str) -> None:
    """X' = ±ρx + noise: no R² at all, yet most of a VAR's gain (the sign alone is lost)."""
    data = simulate("sign_flip", 60_000, 4)
    params = SMALL.model_copy(update={"width": 128, "epochs": 15})
    assert gain(data, "var") == pytest.approx(0, abs=0.01)
    assert gain(data, head, params=params) > 0.9 * (VAR_GAIN - math.log(2) / 4)


@pytest.mark.parametrize("head", ["mdn", "flow"])
def test_same_seed_same_bits(head: str) -> None:
    """Two fits agree exactly; another seed does not."""
    data = simulate("linear", 4000, 3)
    first, again, other = (
        fit_densities(FitSpec("real", data, head, 1, SMALL, seed))["conditional"].nll["test"]
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_diverged_training_ends_in_one_line() -> None:
    """Before what is not a number can become a metric."""
    params = SMALL.model_copy(update={"lr": 1e30})
    with pytest.raises(
        DivergedError, match=r"^lr = 1e\+30: must be smaller, .* in epoch 0, step \d+ of \d+$"
    ):
        gain(simulate("linear", 4000, 3), "gaussian", params=params)


def test_data_that_are_not_numbers_stop_training() -> None:
    """A NaN among the latents is named, and never becomes a metric."""
    data = simulate("linear", 4000, 3)
    data.frames[50 * 10 + 20, 1] = math.nan
    with pytest.raises(InputError, match=r"^1 of \d+ frames of train .* not finite"):
        gain(data, "gaussian")
