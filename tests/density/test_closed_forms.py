"""Densities without a network: known answers, and what they must not see."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mimi_dynamics.density.mixture_var import MixtureVar, fit_mixture_var
from mimi_dynamics.density.regimes import PIECE, Chain, Rows
from mimi_dynamics.density.regression import Moments, choose_lags, complete, regress
from mimi_dynamics.density.switching_var import SwitchingVar, fit_switching_var
from mimi_dynamics.density.threshold_var import ThresholdVar, fit_threshold_var
from mimi_dynamics.density.var import Var, fit_sparse_var, fit_var
from mimi_dynamics.diagnostics.processes import PROCESSES
from mimi_dynamics.latents.sequences import Batch, Sequences

Density = Var | SwitchingVar | ThresholdVar | MixtureVar
DIM, WARMUP = 3, 8


def batches(data: Sequences, split: str, horizon: int = 1) -> list[Batch]:
    return data.batches(split, horizon, WARMUP, 512, delta=False)


def fit_sparse(data: Sequences, horizon: int = 1) -> Density:
    splits = (batches(data, split, horizon) for split in ("train", "validation"))
    return fit_sparse_var(*splits, 16, WARMUP - horizon + 1)


def fit_switching(data: Sequences, horizon: int = 1) -> Density:
    splits = (batches(data, split, horizon) for split in ("train", "validation"))
    generator = torch.Generator().manual_seed(0)
    return fit_switching_var(*splits, 16, horizon, WARMUP - horizon + 1, generator, sticky=True)


def fit_threshold(data: Sequences, horizon: int = 1) -> Density:
    splits = (batches(data, split, horizon) for split in ("train", "validation"))
    return fit_threshold_var(*splits, WARMUP - horizon + 1, torch.Generator().manual_seed(0))


def fit_mixture(data: Sequences, horizon: int = 1) -> Density:
    splits = (batches(data, split, horizon) for split in ("train", "validation"))
    return fit_mixture_var(*splits, WARMUP - horizon + 1)


FITS: dict[str, Callable[..., Density]] = {
    "var": fit_sparse,
    "switching_var": fit_switching,
    "threshold_var": fit_threshold,
    "mixture_var": fit_mixture,
}
every_density = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)


def simulated(name: str, frames: int = 40_000, dim: int = DIM) -> Sequences:
    return PROCESSES[name].simulate(frames // 50, 50, dim, seed=3)


def gain_on_test(fit: Callable[..., Density], data: Sequences) -> float:
    """Nats per dimension, against the Gaussian that sees no past."""
    marginal = fit_var(batches(data, "train"), batches(data, "validation"), 0)
    return mean_log_prob(fit(data), data) - mean_log_prob(marginal, data)


def mean_log_prob(density: Density, data: Sequences) -> float:
    found = torch.cat([density.log_prob(batch) for batch in batches(data, "test")])
    return found.mean().item() / data.dim


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("linear", fit_sparse),
        ("long_memory", fit_sparse),
        ("sign_flip", fit_switching),
        ("switching", fit_switching),
        ("turned", fit_threshold),
        ("lone_flips", fit_mixture),
    ],
)
def test_finds_what_it_is_made_for(name: str, fit: Callable[..., Density]) -> None:
    """At least 95 % of the true gain, from 32,000 frames of eight dimensions."""
    data = simulated(name, dim=8)
    true = PROCESSES[name].true_gain(8, range(WARMUP, 50))
    assert gain_on_test(fit, data) == pytest.approx(true, rel=0.05)


def test_scales_that_a_neighbour_sets_are_found() -> None:
    """Against a Gaussian the gain is larger than the true one, since frames have wide tails."""
    data = simulated("neighbour_scales", dim=8)
    assert gain_on_test(fit_threshold, data) > PROCESSES["neighbour_scales"].true_gain(8, range(1))


@every_density
def test_finds_nothing_in_white_noise(fit: Callable[..., Density]) -> None:
    """What it overfits is small."""
    assert gain_on_test(fit, simulated("white_noise")) == pytest.approx(0, abs=0.01)


@every_density
@pytest.mark.parametrize("name", ["sign_flip", "turned"])
def test_integrates_to_one(fit: Callable[..., Density], name: str) -> None:
    """Over a grid of targets, whatever the past."""
    data = simulated(name, dim=1)
    density = fit(data)
    grid = torch.linspace(-12, 12, 4001)
    context = data.frames[:20].view(1, 20, 1).expand(len(grid), -1, -1)
    batch = Batch(context, torch.zeros_like(context), torch.zeros(len(grid), 20, dtype=bool), grid)
    batch.target[:, :-1] = context[:, 1:]
    batch.target[:, -1, 0] = grid
    batch.scored[:, WARMUP:] = True
    last = torch.zeros_like(batch.scored)
    last[:, -1] = True
    found = density.log_prob(batch)[last[batch.scored]]
    assert torch.trapezoid(found.exp(), grid).item() == pytest.approx(1, abs=1e-3)


@every_density
@pytest.mark.parametrize("horizon", [1, 3])
def test_the_future_never_reaches_the_past(fit: Callable[..., Density], horizon: int) -> None:
    """Changing frames from some time on changes no density of an earlier target."""
    data = simulated("switching")
    density = fit(data, horizon)
    batch = batches(data, "test", horizon)[0]
    changed = 30
    context, target = batch.context.clone(), batch.target.clone()
    context[:, changed:] += 1
    target[:, max(changed - horizon, 0) :] += 1
    other = density.log_prob(batch._replace(context=context, target=target))
    before = batch.scored.nonzero()[:, 1] < changed - horizon
    assert before.any()
    same = density.log_prob(batch)[before]
    assert torch.equal(other[before], same)
    # A target at t is known from t + horizon on: until then it must not change others' densities.
    target = batch.target.clone()
    target[:, changed - horizon] += 1
    other = density.log_prob(batch._replace(target=target))
    time = batch.scored.nonzero()[:, 1]
    unaware = (time != changed - horizon) & (time < changed)
    assert torch.allclose(other[unaware], density.log_prob(batch)[unaware], atol=1e-5)


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_regime_is_told_by_targets_that_are_known_and_no_others(horizon: int) -> None:
    """A target changes densities from its own on, and none of those between it and that time."""
    still, moving = (
        Var(torch.full((1, 1, 1), c), torch.zeros(1), torch.eye(1)) for c in (0.0, 2.0)
    )
    transition = torch.tensor([[0.95, 0.05], [0.05, 0.95]])
    density = SwitchingVar((still, moving), torch.tensor([0.5, 0.5]), transition, horizon)
    context = torch.randn(2, 20, 1, generator=torch.Generator().manual_seed(0))
    batch = Batch(
        context, context.roll(-horizon, 1), torch.ones(2, 20, dtype=torch.bool), torch.zeros(40)
    )
    at, target = 9, batch.target.clone()
    target[:, at] += 5
    before, after = (
        density.log_prob(of).view(2, 20) for of in (batch, batch._replace(target=target))
    )
    changed = ((before - after).abs() > 1e-4).any(0)
    assert changed[[at, at + horizon]].all()
    assert not changed[:at].any()
    assert not changed[at + 1 : at + horizon].any()


@every_density
def test_a_batch_is_its_clips(fit: Callable[..., Density]) -> None:
    """Padding and company change nothing."""
    data = simulated("turned")
    density = fit(data)
    batch = batches(data, "test")[0]
    together = density.log_prob(batch)
    clip = batch.scored.nonzero()[:, 0]
    for index in range(2):
        alone = Batch(*(part[index : index + 1] for part in batch[:3]), batch.frame[clip == index])
        assert torch.allclose(density.log_prob(alone), together[clip == index], atol=1e-4)


@every_density
def test_fits_twice_alike(fit: Callable[..., Density]) -> None:
    """Bit for bit."""
    data = simulated("sign_flip", 8000)
    batch = batches(data, "test")[0]
    first, second = fit(data).log_prob(batch), fit(data).log_prob(batch)
    assert torch.equal(first, second)


@every_density
def test_few_frames_of_many_dimensions_stay_finite(fit: Callable[..., Density]) -> None:
    """Fewer frames than regressors, and some regimes or bins without any."""
    data = PROCESSES["white_noise"].simulate(20, 12, 16, seed=0)
    assert math.isfinite(mean_log_prob(fit(data), data))


def test_lags_are_those_of_the_process() -> None:
    """Of sixteen, only the one that counts; and none where there is nothing."""

    def lags(name: str) -> tuple[int, ...]:
        data = simulated(name, dim=8)
        return choose_lags(*(Moments.of(batches(data, s), 16) for s in ("train", "validation")))

    assert 11 in lags("long_memory")
    assert len(lags("long_memory")) <= 3
    assert len(lags("white_noise")) <= 1


def test_a_var_without_lags_is_the_marginal() -> None:
    """Even on few frames, where the prior counts: what helps both is no gain."""
    data = PROCESSES["white_noise"].simulate(30, 14, 16, seed=1)
    splits = [batches(data, split) for split in ("train", "validation")]
    marginal, chosen = (fit_sparse_var(*splits, order, WARMUP) for order in (0, 4))
    assert not len(chosen.coefficients)
    test = batches(data, "test")[0]
    assert torch.equal(marginal.log_prob(test), chosen.log_prob(test))


def test_too_few_frames_choose_no_lag() -> None:
    """Seven of them tell nothing."""
    data = simulated("linear", 8000)
    known = Moments.of(batches(data, "train"), 4)
    few = Moments.weighted(torch.ones(7, 13).double(), torch.ones(7, 3).double(), torch.ones(7), 3)
    assert choose_lags(known, few) == ()


def test_early_targets_are_those_of_the_settings() -> None:
    """A VAR has shorter ones for them, even if validation has no such target."""
    data = simulated("long_memory", dim=2)
    late = [complete(batch, 30) for batch in batches(data, "validation")]
    var = fit_sparse_var(batches(data, "train"), late, 16, WARMUP)
    assert len(var.coefficients) > WARMUP
    shortest = var
    while shortest.shorter is not None:
        shortest = shortest.shorter
    assert len(shortest.coefficients) <= WARMUP


def test_long_clips_are_cut_into_pieces() -> None:
    """Of one clip each, in which times do not repeat."""
    data = PROCESSES["white_noise"].simulate(10, 300, 2, seed=0)
    rows = Rows.of(batches(data, "train"), ())
    assert int(rows.time.max()) == PIECE - 1
    assert int(rows.clip.max()) + 1 == 8 * 3
    places = rows.clip * PIECE + rows.time
    assert len(places.unique()) == len(places)


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_chain_scores_as_the_density_made_of_it(horizon: int) -> None:
    """At every distance, with regimes that last."""
    data = simulated("switching", 8000)
    batch = batches(data, "test", horizon)
    lags, shares = tuple(range(WARMUP - horizon + 1)), torch.tensor([0.3, 0.7])
    transition = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    sums = Moments.of(batches(data, "train", horizon), len(lags))
    regimes = [regress(sums, of, 0.01) for of in ((0,), (1,))]
    chain = Chain(tuple(regimes), shares, transition)
    vars_ = tuple(Var.of(regime, lags) for regime in regimes)
    density = SwitchingVar(vars_, shares, transition, horizon)
    found = torch.cat([density.log_prob(of) for of in batch]).mean().item()
    assert chain.mean_log_prob(Rows.of(batch, lags), horizon) == pytest.approx(found, abs=1e-4)


def test_moments_tell_the_mean_log_density() -> None:
    """Sums over frames give what all frames one by one do."""
    data = simulated("linear")
    known, held_out = (Moments.of(batches(data, s), 4) for s in ("train", "validation"))
    regression = regress(known, (0, 2), 0.01)
    var = Var.of(regression, range(4))
    one_by_one = torch.cat([var.log_prob(b) for b in batches(data, "validation")]).mean().item()
    assert regression.mean_log_prob(held_out) == pytest.approx(one_by_one, abs=1e-4)


def test_early_targets_get_a_shorter_var() -> None:
    """Before the frame that a process repeats is known, its VAR is as wide as the marginal."""
    data = simulated("long_memory", dim=2)
    var = fit_sparse(data)
    assert isinstance(var, Var)
    assert var.shorter is not None
    batch = batches(data, "test")[0]
    early = batch.scored.nonzero()[:, 1] < len(var.coefficients) - 1
    without = replace(var, shorter=None).log_prob(batch)
    found: Tensor = var.log_prob(batch)
    assert found[early].mean() > without[early].mean() + 0.1
    assert torch.equal(found[~early], without[~early])
