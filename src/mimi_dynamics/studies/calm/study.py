"""Trainings around bet 4: without each stabiliser in turn, at three sizes, on less data.

Without a stabiliser, CALM makes as many passes over train as with it, whose operations may be
others, and ours as many operations. At every size and on every share of train, CALM has as many
parameters as ours and about as many operations, by the rule of `contenders`. There, more
passes are made over fewer clips, so that steps do not fall with them (`predict.min_steps`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.settings import Section
from mimi_dynamics.studies.calm.bet import SECTIONS as SECTIONS_OF_BET
from mimi_dynamics.studies.calm.bet import bet_params
from mimi_dynamics.studies.calm.comparison import our_parameters
from mimi_dynamics.studies.calm.contenders import OURS, PREDICTOR, equal_passes, recipe_shape
from mimi_dynamics.studies.calm.factorised import OursJob, PredictorJob
from mimi_dynamics.studies.calm.heads import CALM_HEADS
from mimi_dynamics.studies.calm.inputs import Factorisation
from mimi_dynamics.studies.calm.kept import Job, train_once
from mimi_dynamics.studies.calm.model import CalmShape
from mimi_dynamics.studies.calm.training import CalmJob, Trained
from mimi_dynamics.studies.rssm.model import Rssm

# Sections of params.yaml on which the results of the study depend.
SECTIONS = tuple(sorted({"calm_study", *SECTIONS_OF_BET}))
# Stabilisers to switch off, one at a time. The temperature is not among them: it is not part of
# training, and it is chosen on validation, for every variant anew.
CALM_SWITCHES: dict[str, Callable[[CalmShape], CalmShape]] = {
    "noise_injection": lambda shape: replace(shape, noise_injection=False),
    "short_context": lambda shape: replace(shape, short_frames=0),
    "head_batch": lambda shape: replace(shape, head=replace(shape.head, batch=1)),
    "adaptive_weight": lambda shape: replace(
        shape, head=replace(shape.head, adaptive_weight=False)
    ),
    "tangent_normalisation": lambda shape: replace(
        shape, head=replace(shape.head, tangent_normalisation=False)
    ),
    "tangent_warmup": lambda shape: replace(shape, head=replace(shape.head, tangent_warmup=0.0)),
    "time_proposal": lambda shape: replace(shape, head=replace(shape.head, time_proposal=False)),
}
# The heads to which some of them belong; all others belong to every head.
BELONGS_TO = {
    "tangent_normalisation": ("consistency",),
    "tangent_warmup": ("consistency",),
    "time_proposal": ("consistency", "lsd"),
}
OUR_SWITCHES = {
    "prior_samples": {"prior_share": 0.0},
    "rollout_loss": {"rollout_weight": 0.0},
    "dynamics_loss": {"dynamics_weight": 0.0},
}
WIDTHS = (0.5, 0.71, 1.0)  # factors of all widths of ours, and so 1/4, 1/2 and all of a matrix
SHARES = (0.25, 0.5, 1.0)  # of the clips of train


@dataclass(frozen=True)
class Variant:
    """What differs from an unchanged contender.

    Attributes:
        row: the contender: a recipe of CALM, `OURS` or `PREDICTOR`.
        without: the stabiliser that is off; empty for none.
        width: factor of all widths.
        share: of the clips of train.
    """

    row: str
    without: str = ""
    width: float = 1.0
    share: float = 1.0

    @property
    def unchanged(self) -> bool:
        """Whether it is the contender as it is."""
        return not self.without and self.width == self.share == 1

    @property
    def name(self) -> str:
        """Its contender, and what distinguishes it from the unchanged one."""
        if self.unchanged:
            return self.row
        if self.without:
            return f"{self.row} without_{self.without}"
        return f"{self.row} width_{self.width:g}_clips_{self.share:g}"


def study_params(params: Params) -> Params:
    """Give the settings of bet 4, with the number of trainings of the study."""
    params = bet_params(params)
    calm = params.calm.model_copy(update={"seeds": params.calm_study.seeds})
    return params.model_copy(update={"calm": calm})


def train_variants(
    jobs: Mapping[Variant, Job], folder: Path, params: Params
) -> dict[str, list[Trained]]:
    """Train each once, or read what an earlier run kept of it.

    Args:
        jobs: what to train.
        folder: where trainings are kept, so that a study that was stopped goes on.
        params: all settings.

    Returns:
        The single training of each by its name.
    """
    calls = [
        partial(train_once, folder, variant.name.replace(" ", "-"), job)
        for variant, job in jobs.items()
    ]
    trained = run_fits(calls, "study", params.compute)
    return {variant.name: [run] for variant, run in zip(jobs, trained, strict=True)}


def ablation(params: Params, jobs: Mapping[str, Job]) -> dict[Variant, Job]:
    """Give the training of every contender without one of the stabilisers that it uses.

    The plain predictor has none.

    Args:
        params: all settings.
        jobs: the trainings of the unchanged contenders with the first seed, by name.
    """
    found: dict[Variant, Job] = {}
    for row, job in jobs.items():
        if isinstance(job, CalmJob):
            for name, shape in switches_that_are_on(job.shape).items():
                found[Variant(row, without=name)] = replace(job, shape=shape)
        elif isinstance(job, OursJob):
            for name, changes in OUR_SWITCHES.items():
                if is_change(params.rssm, changes):
                    found[Variant(row, without=name)] = replace(job, rssm=None, changes=changes)
    return found


def switches_that_are_on(shape: CalmShape) -> dict[str, CalmShape]:
    """Give the shape without each stabiliser that it uses.

    A stabiliser that is off already is left out: the same training twice would tell nothing.
    """
    relevant = {
        name: switch(shape)
        for name, switch in CALM_SWITCHES.items()
        if shape.head.kind in BELONGS_TO.get(name, CALM_HEADS)
    }
    return {name: without for name, without in relevant.items() if without != shape}


def is_change(settings: Section, changes: dict[str, Any]) -> bool:
    """Tell whether changes have an effect: the same training again would tell nothing."""
    return any(getattr(settings, name) != value for name, value in changes.items())


def scaling(
    params: Params, data: Sequences, factorisation: Factorisation, recipe: str
) -> dict[Variant, Job]:
    """Give the training of CALM, ours and the plain predictor at every size and share of train.

    Those that are unchanged are left out.

    Args:
        params: all settings.
        data: the frames x of every split.
        factorisation: the factorisation of the stage `rssm`.
        recipe: of CALM.
    """
    return {
        Variant(row, width=width, share=share): job
        for width, share in product(WIDTHS, SHARES)
        if not width == share == 1
        for row, job in scaled(params, data, factorisation, recipe, width, share).items()
    }


def scaled(
    params: Params,
    data: Sequences,
    factorisation: Factorisation,
    recipe: str,
    width: float,
    share: float,
) -> dict[str, Job]:
    """Give the training of CALM, ours and the plain predictor at one size and share of train.

    CALM has as many parameters as ours then has, and ours about as many operations as CALM. The
    predictor, which is no contender of bet 4, is what stage `horizon` trains, at that width.
    """
    data, model = thin_train(data, share), factorisation.model
    rssm_width, dynamics_width, plain_width = (
        max(4, round(width * full))
        for full in (params.rssm.width, params.calm.dynamics_width, params.predict.width)
    )
    size = our_parameters(params, Rssm(replace(model.shape, width=rssm_width)), dynamics_width)
    passes, operations = equal_passes(params, data, size)
    ours = OursJob(
        data=data,
        params=params,
        state_dim=model.shape.state_dim,
        budget=factorisation.budget,
        seed=params.seed,
        changes={"width": rssm_width},
        width=dynamics_width,
        operations=operations,
    )
    shape = recipe_shape(params, data.dim, recipe)
    return {
        recipe: CalmJob(data, params, shape, size, params.seed, passes[recipe]),
        OURS: ours,
        PREDICTOR: PredictorJob(data, params, plain_width, params.seed),
    }


def thin_train(data: Sequences, share: float) -> Sequences:
    """Keep a share of the clips of train, evenly spaced, and all clips of the other splits."""
    train = np.flatnonzero(data.splits == "train")
    kept = choose_evenly(len(train), round(share * len(train)))
    splits = data.splits.astype("<U16")
    splits[np.setdiff1d(train, train[kept])] = "unused"
    return replace(data, splits=splits)
