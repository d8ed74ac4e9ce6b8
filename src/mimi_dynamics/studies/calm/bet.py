"""Ours beside CALM with equally many parameters and operations of training: what bet 4 is about.

CALM is trained as its first paper says and as its authors train it now. Which of the two counts, in
how many steps it draws and with how much noise, is chosen on validation.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.generation.generator import Generator, Grid, make_grid
from mimi_dynamics.generation.scores import LeadScores, draw_all, score_paths
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.calm.comparison import our_jobs, our_parameters
from mimi_dynamics.studies.calm.factorised import OursJob
from mimi_dynamics.studies.calm.flops import epoch_flops
from mimi_dynamics.studies.calm.inputs import Factorisation
from mimi_dynamics.studies.calm.kept import train_once
from mimi_dynamics.studies.calm.model import (
    CalmShape,
    CalmTraining,
    head_of,
    make_calm,
    matched,
    shape_of,
)
from mimi_dynamics.studies.calm.training import CalmJob, Trained, batches_of, enough_epochs

# How CALM is trained, with the numbers of steps to try in sampling: by consistency as in its first
# paper (arXiv 2509.06926), and by Lagrangian self-distillation as in Pocket TTS.
RECIPES = {"consistency": (1,), "lsd": (1, 2)}
OURS = "ours"
LEADS = (1, 2)  # frames; beyond these nobody has skill
MOST_APART = 0.05  # in parameters and operations of training, as a share


@dataclass(frozen=True)
class Sampling:
    """How a CALM is sampled, and how good that was on validation.

    Attributes:
        steps: evaluations of the head for one frame.
        temperature: variance of the noise.
        score: mean energy score of both leads and all trainings on validation.
    """

    steps: int
    temperature: float
    score: float


def bet_params(params: Params) -> Params:
    """Give the settings of the stage `calm` with the trainings, starts and leads of the study."""
    study = params.bet4_study
    grid = {"starts": study.starts, "stride_frames": study.stride_frames}
    changes = {
        "calm": params.calm.model_copy(update={"seeds": study.seeds}),
        "rollout": params.rollout.model_copy(update=grid),
        "horizons": list(LEADS),
    }
    return params.model_copy(update=changes)


def train_contenders(
    params: Params, jobs: Mapping[str, Sequence[CalmJob | OursJob]], folder: Path
) -> dict[str, list[Trained]]:
    """Train CALM by every recipe, and ours, with several seeds each.

    Args:
        params: see `bet_params`.
        jobs: from `contender_jobs`.
        folder: where trainings are kept, so that a study that was stopped goes on.

    Raises:
        InputError: the contenders are not equally large, or not equally dear.
    """
    named = {
        f"{name}@{job.seed}": job
        for of_seed in zip(*jobs.values(), strict=True)
        for name, job in zip(jobs, of_seed, strict=True)
    }
    calls = [partial(train_once, folder, name, job) for name, job in named.items()]
    found = run_fits(calls, "train", params.compute)
    trained: dict[str, list[Trained]] = {name: [] for name in jobs}
    for name, result in zip(named, found, strict=True):
        trained[name.partition("@")[0]].append(result)
    check_equal(trained)
    return trained


def contender_jobs(
    params: Params, data: Sequences, factorisation: Factorisation
) -> dict[str, list[CalmJob | OursJob]]:
    """Give the trainings of CALM by every recipe, and of ours, one for each seed.

    A CALM of the first paper makes `calm.epochs` passes over train, one of the other recipe as many
    as come nearest to the same operations, and the dynamics of ours as many as bring its
    operations nearest to the geometric mean of both.

    Args:
        params: see `bet_params`.
        data: the frames x of every split.
        factorisation: that of the stage `rssm`; trainings after the first make their own.
    """
    parameters = our_parameters(params, factorisation.model)
    passes, operations = equal_passes(params, data, parameters)
    ours = our_jobs(params, data, factorisation)
    jobs: dict[str, list[CalmJob | OursJob]] = {
        recipe: [
            CalmJob(data, params, recipe_shape(params, data.dim, recipe), parameters, job.seed, of)
            for job in ours
        ]
        for recipe, of in passes.items()
    }
    return jobs | {OURS: [replace(job, operations=operations) for job in ours]}


def recipe_shape(params: Params, dim: int, recipe: str) -> CalmShape:
    """Give the shape of a CALM of one recipe, without a width."""
    settings = params.calm.model_copy(update={"head": recipe, "sampling_steps": 1})
    return shape_of(settings, dim)


def equal_passes(params: Params, data: Sequences, parameters: int) -> tuple[dict[str, int], float]:
    """Find passes over train with which CALM of every recipe is about equally dear.

    Args:
        params: see `bet_params`.
        data: the frames x of every split.
        parameters: the number of parameters of each.

    Returns:
        The passes by recipe, and the geometric mean of the operations that they take.
    """
    train, _ = batches_of(data, params, params.calm.batch_frames)
    unit = torch.ones(data.dim)
    each = {}
    for recipe in RECIPES:
        shape = matched(recipe_shape(params, data.dim, recipe), parameters)
        each[recipe] = epoch_flops(CalmTraining(make_calm(shape, unit, unit), steps=1), train)
    most = enough_epochs(params.calm.epochs, len(train), params) * each["consistency"]
    passes = {recipe: max(1, round(most / one)) for recipe, one in each.items()}
    spent = [passes[recipe] * one for recipe, one in each.items()]
    return passes, math.prod(spent) ** (1 / len(spent))


def check_equal(trained: Mapping[str, list[Trained]]) -> None:
    """Check that ours and CALM by every recipe are equally large and equally dear.

    Raises:
        InputError: if they are more than 5 % apart.
    """
    ours = trained[OURS][0]
    for recipe in RECIPES:
        calm = trained[recipe][0]
        for what, ratio in (
            ("parameters", ours.parameters / calm.parameters),
            ("operations of training", ours.flops / calm.flops),
        ):
            if abs(ratio - 1) > MOST_APART:
                raise InputError(
                    f"calm.epochs: ours has {ratio:.3f} times the {what} of CALM by {recipe}, "
                    f"which must be within {MOST_APART:.0%}; more passes can be matched better"
                )


def sampled(generator: Generator, steps: int, temperature: float) -> Generator:
    """Copy a CALM, to be sampled in so many steps with noise of that variance."""
    step = copy.deepcopy(generator.step)
    head = head_of(step)
    head.temperature = temperature
    head.shape = replace(head.shape, steps=steps)
    return replace(generator, step=step)


def choose_sampling(
    params: Params, data: Sequences, trained: Mapping[str, list[Trained]]
) -> dict[str, list[Sampling]]:
    """Score all ways to sample every CALM on validation.

    Args:
        params: see `bet_params`.
        data: the frames x of every split.
        trained: the trainings of each CALM, by a name that begins with its recipe; a space may
            follow, and what distinguishes it. Others are left out.

    Returns:
        The ways by name, the best first.
    """
    ways = {
        (name, steps, temperature): f"{name} {steps} {temperature}"
        for name in trained
        if recipe_of(name) in RECIPES
        for steps in RECIPES[recipe_of(name)]
        for temperature in params.calm.temperatures
    }
    generators = {
        f"{told}@{seed}": sampled(run.generator, steps, temperature)
        for (name, steps, temperature), told in ways.items()
        for seed, run in enumerate(trained[name])
    }
    grid = bet_grid(params, data, "validation")
    table = score_paths(draw_all(generators, grid, params.compute), grid)
    scores = LeadScores(table, 1, params.seed)
    found: dict[str, list[Sampling]] = {}
    for (name, steps, temperature), told in ways.items():
        way = Sampling(steps, temperature, scores.overall(told).value)
        found.setdefault(name, []).append(way)
    return {name: sorted(of, key=lambda way: way.score) for name, of in found.items()}


def recipe_of(name: str) -> str:
    """Give the recipe at the beginning of a contender's name."""
    return name.partition(" ")[0]


def bet_grid(params: Params, data: Sequences, split: str) -> Grid:
    """Choose the starts of a split from which both leads are known."""
    return make_grid(params, data, split, max(LEADS))
