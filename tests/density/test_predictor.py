"""A predictor sees the past only, and changes of coordinates change nothing but a constant."""

import math
from pathlib import Path

import pytest
import torch

from mimi_dynamics.density.heads import HEADS
from mimi_dynamics.density.predictor import (
    Predictor,
    load_predictor,
    make_conditional,
    make_marginal,
    save_predictor,
)
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.diagnostics.processes import RHO
from mimi_dynamics.latents.sequences import Batch, make_batches
from tests.harness.simulation import simulate

DIM = 3
ORDER = 4


def batches(horizon: int = 1) -> list[Batch]:
    """Batches of an autoregression."""
    return make_batches(simulate("linear", 2000, DIM), horizon, ORDER, 500)


def perturbed(head: str, *, uses_past: bool = True, context_frames: int = 0) -> Predictor:
    """A predictor away from its starting point."""
    torch.manual_seed(0)
    predictor = make_marginal(fit_var(batches(), batches(), 0), head, 16, 3)
    if uses_past:
        var = fit_var(batches(), batches(), min(ORDER, context_frames or ORDER))
        predictor = make_conditional(predictor, var, 16, 0.3, context_frames)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return predictor.eval()


@pytest.mark.parametrize("context_frames", [1, 2, 4, 8, 16])
def test_context_reaches_as_far_back_as_it_says(context_frames: int) -> None:
    """The frame just out of reach makes no difference, the oldest within reach does."""
    predictor, batch = perturbed("gaussian", context_frames=context_frames), batches()[0]
    last = batch.context.shape[1] - 1
    with torch.no_grad():
        before = predictor.trunk(batch.context)[:, last]
        for back, moves in ((context_frames, False), (context_frames - 1, True)):
            context = batch.context.clone()
            context[:, last - back] += 1
            after = predictor.trunk(context)[:, last]
            assert torch.equal(before, after) != moves


def changed_from(batch: Batch, time: int) -> Batch:
    """The same batch with other context frames from `time` on."""
    context = batch.context.clone()
    context[:, time:] += torch.randn_like(context[:, time:])
    return batch._replace(context=context)


@pytest.mark.parametrize("head", HEADS)
def test_future_does_not_move_the_past(head: str) -> None:
    """Other frames from t on: what was said before t stays the same to the bit, the rest moves."""
    predictor, batch, time = perturbed(head), batches()[0], 20
    at = batch.scored.nonzero()[:, 1]
    with torch.no_grad():
        before, after = predictor.log_prob(batch), predictor.log_prob(changed_from(batch, time))
    assert torch.equal(before[at < time], after[at < time])
    assert not torch.isclose(before[at >= time], after[at >= time]).any()


@pytest.mark.parametrize("head", HEADS)
def test_marginal_ignores_the_past(head: str) -> None:
    """Other context frames altogether: the same density."""
    predictor, batch = perturbed(head, uses_past=False), batches()[0]
    with torch.no_grad():
        before, after = predictor.log_prob(batch), predictor.log_prob(changed_from(batch, 0))
    assert torch.equal(before, after)


@pytest.mark.parametrize("head", HEADS)
def test_conditional_starts_as_the_marginal(head: str) -> None:
    """Whatever the past; and a gaussian marginal starts as the Gaussian of the data."""
    train = batches()
    gaussian = fit_var(train, train, 0)
    marginal = make_marginal(gaussian, head, 16, 3)
    conditional = make_conditional(marginal, fit_var(train, train, ORDER), 16, 0.3).eval()
    with torch.no_grad():
        found, expected = conditional.log_prob(train[0]), marginal.log_prob(train[0])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    if head == "gaussian":
        torch.testing.assert_close(found, gaussian.log_prob(train[0]), rtol=1e-4, atol=1e-4)


def test_samples_have_the_predicted_moments() -> None:
    """Mean and summed variance of many draws are those that the gaussian head states."""
    predictor, batch = perturbed("gaussian"), batches()[0]
    torch.manual_seed(1)
    samples = predictor.sample(batch, 2000)
    with torch.no_grad():
        mean, spread = predictor.mean_and_spread(batch)
    tolerance = 6 * (spread.max() / 2000).sqrt().item()
    torch.testing.assert_close(samples.mean(0), mean, atol=tolerance, rtol=0)
    torch.testing.assert_close(samples.var(0).sum(1), spread, rtol=0.2, atol=0)


def test_var_recovers_an_autoregression() -> None:
    """Coefficients, residual and causality of the closed form."""
    sequences = simulate("linear", 40_000, DIM)
    train = make_batches(sequences, 1, ORDER, 4000)
    var = fit_var(train, train, ORDER)
    torch.testing.assert_close(var.coefficients[0], RHO * torch.eye(DIM), atol=0.03, rtol=0)
    assert var.coefficients[1:].abs().max() < 0.03
    torch.testing.assert_close(var.covariance, (1 - RHO**2) * torch.eye(DIM), atol=0.02, rtol=0)
    nll = -torch.cat([var.log_prob(b) for b in train]).mean().item() / DIM
    assert nll == pytest.approx(0.5 * math.log(2 * math.pi * math.e * (1 - RHO**2)), abs=0.01)


@pytest.mark.parametrize("head", HEADS)
def test_survives_a_round_trip(head: str, tmp_path: Path) -> None:
    """Saved and loaded: the same weights to the bit, and what was noted beside them."""
    predictor, batch = perturbed(head), batches()[0]
    info = {"head": head, "width": 16, "components": 3, "context_frames": 0, "horizon": 2}
    save_predictor(predictor, tmp_path / "predictor.safetensors", info)
    (loaded, read), (again, _) = (
        load_predictor(tmp_path / "predictor.safetensors") for _ in range(2)
    )
    weights = loaded.state_dict()
    assert weights.keys() == predictor.state_dict().keys()
    assert all(torch.equal(weights[name], of) for name, of in predictor.state_dict().items())
    with torch.no_grad():
        found = loaded.log_prob(batch)
        assert torch.equal(again.log_prob(batch), found)
        # A matrix that `fit_var` left transposed is a plain one in the file, and without AVX-512
        # their products are rounded otherwise: by 4e-6 of 31 nats.
        torch.testing.assert_close(found, predictor.log_prob(batch), rtol=1e-6, atol=1e-5)
    assert read["horizon"] == 2


def test_trunk_goes_on_from_its_state() -> None:
    """Frame by frame with a state equals all frames at once."""
    trunk, frames = perturbed("gaussian").trunk, batches()[0].context
    whole, state, steps = trunk(frames), None, []
    for time in range(frames.shape[1]):
        step, state = trunk.step(frames[:, time : time + 1], state)
        steps.append(step)
    torch.testing.assert_close(torch.cat(steps, 1), whole)
