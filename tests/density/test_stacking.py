"""Weights of a stack are those that are best on validation, and nothing is lost by stacking."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec, FittedDensity
from mimi_dynamics.density.stacking import fit_weights, stack
from mimi_dynamics.evidence.gains import STACK, fit_many, stacks
from tests.density.test_fit import SMALL
from tests.harness.simulation import simulate

FITTED = ("marginal", "conditional")


def scores(seed: int, frames: int, densities: int) -> np.ndarray:
    """Log-likelihoods of made-up densities, of which the first is better on the whole."""
    log_prob = np.random.default_rng(seed).normal(-20, 1.5, (frames, densities))
    log_prob[:, 0] += 0.8
    return log_prob


def test_two_weights_are_those_that_a_search_finds() -> None:
    """The likelihood of a mixture of two is a curve with one top."""
    log_prob = scores(0, 2000, 2)

    def loss(weight: float) -> float:
        return -np.logaddexp(
            np.log(weight) + log_prob[:, 0], np.log1p(-weight) + log_prob[:, 1]
        ).mean()

    best = minimize_scalar(loss, bounds=(1e-6, 1 - 1e-6), method="bounded")
    assert fit_weights(log_prob)[0] == pytest.approx(best.x, abs=0.01)


@pytest.mark.parametrize("densities", [1, 2, 5])
def test_a_mixture_beats_its_best_part_on_validation(densities: int) -> None:
    """And is the mixture of its parts on every split, with weights that sum to 1."""
    log_prob = {"validation": scores(0, 500, densities), "test": scores(1, 300, densities)}
    experts = {
        str(d): FittedDensity(None, {split: -of[:, d] for split, of in log_prob.items()})
        for d in range(densities)
    }
    mixed = stack(experts)
    assert sum(mixed.weights.values()) == pytest.approx(1)
    best = min(expert.validation_nll for expert in experts.values())
    assert mixed.validation_nll <= best + 1e-9
    probability = np.exp(log_prob["test"]) @ np.array(list(mixed.weights.values()))
    assert mixed.nll["test"] == pytest.approx(-np.log(probability))


def test_densities_of_frames_of_their_own_share_as_the_frames_do() -> None:
    """Where each is thousands of nats ahead at its own frames, 30 and 70 %, so are the weights."""
    own = np.arange(1000) < 300
    log_prob = np.where(np.stack([own, ~own], 1), -3.0, -5000.0)
    assert fit_weights(log_prob) == pytest.approx([0.3, 0.7])


def test_a_useless_density_gets_no_weight() -> None:
    """However sure of itself it is; without numbers out of range."""
    log_prob = np.stack([np.full(1000, -3.0), np.full(1000, -5000.0)], 1)
    weights = fit_weights(log_prob)
    assert weights[1] < 1e-12
    assert np.isfinite(np.log(weights)).all()


@pytest.mark.trains
@pytest.mark.parametrize("process", ["white_noise", "linear"])
def test_nothing_is_found_in_noise_without_a_switch(process: str) -> None:
    """The gain of the stack is near zero of either sign in noise, and the linear gain elsewhere."""
    data = simulate(process, 12_000, 4)
    job = FitSpec("real", data, "gaussian", 1, SMALL, 0)
    fits = fit_many([job, replace(job, head=LINEAR_BASELINE)])
    made = stacks(fits, "gaussian")
    nll = {density: made["real", STACK, density].nll["test"].mean() / 4 for density in FITTED}
    best = min(
        fits["real", head, "conditional"].nll["test"].mean() / 4
        for head in ("gaussian", LINEAR_BASELINE)
    )
    found = nll["marginal"] - nll["conditional"]
    if process == "white_noise":
        assert found == pytest.approx(0, abs=0.003)
        own = {
            head: [fits["real", head, of].nll["test"].mean() / 4 for of in FITTED]
            for head in ("gaussian", LINEAR_BASELINE)
        }
        assert abs(found) <= max(abs(m - c) for m, c in own.values()) + 1e-6
    else:
        assert nll["conditional"] <= best + 0.003
