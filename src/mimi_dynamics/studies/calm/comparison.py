"""The comparison: train every contender, draw samples from all of them, and score these.

The contenders are CALM, our dynamics of z_dyn with their factorisation (`ours`), the plain
predictor of x, and the linear model (`var`).
"""

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.density.predictor import load_predictor, make_conditional, make_marginal
from mimi_dynamics.density.var import Var, fit_var
from mimi_dynamics.generation.generator import Generator, Grid, make_grid
from mimi_dynamics.generation.rollouts import linear_floor
from mimi_dynamics.generation.scores import LeadScores, draw_all, score_paths
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.calm.cost import CostCurve
from mimi_dynamics.studies.calm.factorised import OursJob, train_ours
from mimi_dynamics.studies.calm.flops import epoch_flops
from mimi_dynamics.studies.calm.inputs import Factorisation
from mimi_dynamics.studies.calm.model import head_of, parameters_of, shape_of
from mimi_dynamics.studies.calm.training import (
    CalmJob,
    Checkpoint,
    Cost,
    Trained,
    batches_of,
    enough_epochs,
    train_calm,
)
from mimi_dynamics.studies.rssm.model import Rssm

CONTENDERS = ("calm", "ours", "predictor", "var")
CURVE_STARTS = 96  # starts of the grid to use for checkpoints, and for splits other than test
CURVE_SAMPLES = 4


@dataclass
class Comparison:
    """All contenders, trained.

    Attributes:
        params: all settings.
        data: the frames x of every split.
        trained: `calm` and `ours`, one training for each seed.
        generators: every contender by name, or by `name@seed` if it has several trainings.
        predictor_cost: cost of training the plain predictor.
        temperature: variance of CALM's noise, chosen on validation.
    """

    params: Params
    data: Sequences
    trained: dict[str, list[Trained]]
    generators: dict[str, Generator]
    predictor_cost: Cost
    temperature: float

    def grid(self, split: str) -> Grid:
        """Choose the starts of one split, as in the stage `rollout`."""
        return make_grid(self.params, self.data, split, max(self.params.horizons))


def compare(
    params: Params, data: Sequences, factorisation: Factorisation, predictor: Path
) -> Comparison:
    """Train CALM and ours, load the plain predictor, and fit the linear baseline.

    Args:
        params: all settings.
        data: the frames x of every split.
        factorisation: the factorisation of the stage `rssm`; trainings after the first make their
            own.
        predictor: file of the plain predictor one frame ahead.
    """
    jobs = training_jobs(params, data, factorisation)
    results = run_fits(jobs, "train", params.compute)
    seeds = params.calm.seeds
    trained = {"calm": results[:seeds], "ours": results[seeds:]}
    step, info = load_predictor(predictor)
    generators = {
        f"{name}@{seed}": run.generator
        for name, runs in trained.items()
        for seed, run in enumerate(runs)
    }
    generators["predictor"] = Generator(step, data)
    generators["var"] = Generator(linear_floor(linear_model(params, data)), data)
    comparison = Comparison(
        params, data, trained, generators, predictor_cost(params, data, step, info["head"]), 1.0
    )
    comparison.temperature = choose_temperature(comparison)
    for run in trained["calm"]:
        head_of(run.generator.step).temperature = comparison.temperature
    return comparison


def training_jobs(
    params: Params, data: Sequences, factorisation: Factorisation
) -> list[partial[Trained]]:
    """Give a job for each contender and seed, those of CALM first because they take longest."""
    parameters = our_parameters(params, factorisation.model)
    shape = shape_of(params.calm, data.dim)
    ours = our_jobs(params, data, factorisation)
    calms = [CalmJob(data, params, shape, parameters, job.seed) for job in ours]
    return [partial(train_calm, job) for job in calms] + [partial(train_ours, job) for job in ours]


def our_jobs(
    params: Params, data: Sequences, factorisation: Factorisation, *, anew: bool = False
) -> list[OursJob]:
    """Give a job for each seed of ours; those after the first make a factorisation of their own.

    Args:
        params: all settings.
        data: the frames x of every split.
        factorisation: that of the stage `rssm`.
        anew: whether the first makes its own as well, because these are other frames.
    """
    model = factorisation.model
    return [
        OursJob(
            data=data,
            params=params,
            state_dim=model.shape.state_dim,
            budget=factorisation.budget,
            seed=params.seed + number,
            rssm=None if anew or number else model,
        )
        for number in range(params.calm.seeds)
    ]


def our_parameters(params: Params, model: Rssm, width: int | None = None) -> int:
    """Count the trained parameters of factorisation and dynamics.

    Args:
        params: all settings.
        model: the factorisation.
        width: number of hidden units of the dynamics; None for the width in the settings.
    """
    dim, order = model.shape.state_dim, params.predict.var_order
    var = Var(torch.zeros(order, dim, dim), torch.zeros(dim), torch.eye(dim))
    width = width or params.calm.dynamics_width
    marginal = make_marginal(var, params.head, width, params.predict.components)
    return parameters_of(model, make_conditional(marginal, var, width, 0.0))


def linear_model(params: Params, data: Sequences) -> Var:
    """Fit the ridge VAR one frame ahead."""
    train, validation = batches_of(data, params, params.predict.batch_frames)
    return fit_var(train, validation, params.predict.var_order)


def predictor_cost(params: Params, data: Sequences, step: torch.nn.Module, head: str) -> Cost:
    """Compute the cost of the plain predictor in the stage `horizon`, for both of its trainings.

    The two trainings are those without and with the past.

    Args:
        params: all settings.
        data: the frames x of every split.
        step: the predictor.
        head: name of its head.
    """
    predict = params.predict
    train, _ = batches_of(data, params, predict.batch_frames)
    pretrain, epochs = (
        enough_epochs(number, len(train), params)
        for number in (predict.pretrain_epochs, predict.epochs)
    )
    whitening = Var(torch.zeros(0, data.dim, data.dim), torch.zeros(data.dim), torch.eye(data.dim))
    marginal = make_marginal(whitening, head, predict.width, predict.components)
    flops = pretrain * epoch_flops(marginal, train) + epochs * epoch_flops(step, train)
    return Cost(flops, pretrain + epochs, (pretrain + epochs) * len(train))


def choose_temperature(comparison: Comparison) -> float:
    """Choose the temperature in the settings with the best score over all leads on validation."""
    temperatures = comparison.params.calm.temperatures
    if len(temperatures) == 1:
        return temperatures[0]
    grid = comparison.grid("validation").thinned(CURVE_STARTS, CURVE_SAMPLES)
    first = comparison.trained["calm"][0].generator
    tried = {}
    for temperature in temperatures:
        tried[f"{temperature}"] = with_temperature(first, temperature)
    paths = draw_all(tried, grid, comparison.params.compute)
    scores = LeadScores(score_paths(paths, grid), 1, 0)
    return min(temperatures, key=lambda t: scores.overall(f"{t}").value)


def with_temperature(generator: Generator, temperature: float) -> Generator:
    """Copy a contender and set another variance of its noise."""
    step = copy.deepcopy(generator.step)
    head_of(step).temperature = temperature
    return replace(generator, step=step)


def at_checkpoint(trained: Trained, checkpoint: Checkpoint) -> Generator:
    """Restore the contender as it was at a checkpoint."""
    step = copy.deepcopy(trained.generator.step)
    step.load_state_dict(checkpoint.weights)
    return replace(trained.generator, step=step.eval())


def cost_curves(comparison: Comparison) -> dict[str, CostCurve]:
    """Score `calm` and `ours` at every checkpoint by the mean energy score over leads on test."""
    grid = comparison.grid("test").thinned(CURVE_STARTS, CURVE_SAMPLES)
    generators = {
        f"{name} {number}@{seed}": at_checkpoint(run, checkpoint)
        for name, runs in comparison.trained.items()
        for seed, run in enumerate(runs)
        for number, checkpoint in enumerate(run.checkpoints)
    }
    table = score_paths(draw_all(generators, grid, comparison.params.compute), grid)
    draws, seed = comparison.params.predict.bootstrap_samples, comparison.params.seed
    scores = LeadScores(table, draws, seed)
    return {
        name: CostCurve(
            [checkpoint.flops for checkpoint in runs[0].checkpoints],
            [scores.overall(f"{name} {n}") for n in range(len(runs[0].checkpoints))],
        )
        for name, runs in comparison.trained.items()
    }
