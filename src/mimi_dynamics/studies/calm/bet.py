"""What bet 4 chooses on validation: the recipe of CALM that counts, and how it is sampled."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mimi_dynamics.generation.generator import Generator, Grid, make_grid
from mimi_dynamics.generation.scores import LeadScores, draw_all, score_paths
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.calm.contenders import JUDGED, RECIPES
from mimi_dynamics.studies.calm.model import head_of
from mimi_dynamics.studies.calm.training import Trained

# Sections of params.yaml on which the results of the study depend.
SECTIONS = ("bet4_study", "calm", "head", "latents", "predict", "rollout", "rssm", "seed")
LEADS = (1, 2)  # frames; beyond these nobody has skill


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
        for steps in RECIPES[recipe_of(name)].steps
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


def judged_by(ways: Mapping[str, Sequence[Sampling]]) -> str:
    """Give the recipe that is best on validation, of those by which bet 4 may be judged.

    Args:
        ways: see `choose_sampling`.
    """
    return min(JUDGED, key=lambda recipe: ways[recipe][0].score)


def recipe_of(name: str) -> str:
    """Give the recipe at the beginning of a contender's name."""
    return name.partition(" ")[0]


def bet_grid(params: Params, data: Sequences, split: str) -> Grid:
    """Choose the starts of a split from which both leads are known."""
    return make_grid(params, data, split, max(LEADS))
