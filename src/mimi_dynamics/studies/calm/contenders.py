"""Ours and CALM with equally many parameters and operations of training, which bet 4 compares.

CALM is trained as its first paper says, and after the way in which its authors train it now: bet 4
is judged by the better of the two. Of the latter, the study of its stabilisers found that it is
better without its adaptive weight, on test; so trained, it is a row beside them, as is the plain
predictor, which is neither as large nor trained as long.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.calm.comparison import our_jobs, our_parameters
from mimi_dynamics.studies.calm.factorised import PredictorJob
from mimi_dynamics.studies.calm.flops import epoch_flops
from mimi_dynamics.studies.calm.inputs import Factorisation
from mimi_dynamics.studies.calm.kept import Job, train_once
from mimi_dynamics.studies.calm.model import CalmShape, CalmTraining, make_calm, matched, shape_of
from mimi_dynamics.studies.calm.training import CalmJob, Trained, batches_of, enough_epochs


@dataclass(frozen=True)
class Recipe:
    """A way to train CALM.

    Attributes:
        head: the kind of head.
        steps: numbers of steps to try in sampling.
        weighted: whether losses have their adaptive weight.
        judged: whether bet 4 may be judged by it.
    """

    head: str
    steps: tuple[int, ...]
    weighted: bool = True
    judged: bool = True


# By consistency as in its first paper (arXiv 2509.06926), and by Lagrangian self-distillation after
# Pocket TTS; `LsdHead` says what differs.
RECIPES = {
    "consistency": Recipe("consistency", (1,)),
    "lsd": Recipe("lsd", (1, 2)),
    "lsd_unweighted": Recipe("lsd", (1, 2), weighted=False, judged=False),
}
JUDGED = tuple(name for name, recipe in RECIPES.items() if recipe.judged)
OURS, PREDICTOR = "ours", "predictor"
MOST_APART = 0.05  # in parameters and operations of training, as a share


def train_contenders(
    params: Params, jobs: Mapping[str, Sequence[Job]], folder: Path
) -> dict[str, list[Trained]]:
    """Train all contenders with several seeds each.

    Args:
        params: see `bet.bet_params`.
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
    params: Params,
    data: Sequences,
    factorisation: Factorisation,
    recipes: Sequence[str] = tuple(RECIPES),
    *,
    anew: bool = False,
) -> dict[str, list[Job]]:
    """Give the trainings of CALM by every recipe, of ours, and of the plain predictor.

    A CALM of the first paper makes `calm.epochs` passes over train, one of another recipe as many
    as come nearest to the same operations, and the dynamics of ours as many as bring its operations
    nearest to the geometric mean of both by which bet 4 may be judged. The plain predictor, a row
    beside them, is what stage `horizon` trains.

    Args:
        params: see `bet.bet_params`.
        data: the frames x of every split.
        factorisation: that of the stage `rssm`; trainings after the first make their own.
        recipes: keys of `RECIPES`.
        anew: whether the first training of ours makes its own, too; see `comparison.our_jobs`.

    Returns:
        One training for each seed, by name.
    """
    parameters = our_parameters(params, factorisation.model)
    passes, operations = equal_passes(params, data, parameters)
    ours = our_jobs(params, data, factorisation, anew=anew)
    jobs: dict[str, list[Job]] = {
        recipe: [CalmJob(data, params, shape, parameters, job.seed, passes[recipe]) for job in ours]
        for recipe in recipes
        for shape in [recipe_shape(params, data.dim, recipe)]
    }
    return jobs | {
        OURS: [replace(job, operations=operations) for job in ours],
        PREDICTOR: [PredictorJob(data, params, params.predict.width, job.seed) for job in ours],
    }


def recipe_shape(params: Params, dim: int, recipe: str) -> CalmShape:
    """Give the shape of a CALM of one recipe, without a width."""
    of = RECIPES[recipe]
    settings = params.calm.model_copy(update={"head": of.head, "sampling_steps": 1})
    shape = shape_of(settings, dim)
    return replace(shape, head=replace(shape.head, adaptive_weight=of.weighted))


def equal_passes(params: Params, data: Sequences, parameters: int) -> tuple[dict[str, int], float]:
    """Find passes over train with which CALM of every recipe is about equally dear.

    Args:
        params: see `bet.bet_params`.
        data: the frames x of every split.
        parameters: the number of parameters of each.

    Returns:
        The passes by recipe, and the geometric mean of the operations of those of `JUDGED`.
    """
    train, _ = batches_of(data, params, params.calm.batch_frames)
    unit = torch.ones(data.dim)
    each = {}
    for recipe in RECIPES:
        shape = matched(recipe_shape(params, data.dim, recipe), parameters)
        each[recipe] = epoch_flops(CalmTraining(make_calm(shape, unit, unit), steps=1), train)
    most = enough_epochs(params.calm.epochs, len(train), params) * each["consistency"]
    passes = {recipe: max(1, round(most / one)) for recipe, one in each.items()}
    spent = [passes[recipe] * each[recipe] for recipe in JUDGED]
    return passes, math.prod(spent) ** (1 / len(spent))


def check_equal(trained: Mapping[str, list[Trained]]) -> None:
    """Check that ours and CALM by the recipes of `JUDGED` are equally large and equally dear.

    Raises:
        InputError: if they are more than 5 % apart.
    """
    ours = trained[OURS][0]
    for recipe in JUDGED:
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
