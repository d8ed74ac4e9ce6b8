"""Longer studies: the value of each stabiliser, and how scores change with size and data.

Every variant is trained once, with the first seed, and scored on test by the mean energy score over
all leads. The starts are those of the checkpoints of the main runs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.generation.generator import Grid
from mimi_dynamics.generation.scores import LeadScores, draw_all, score_paths
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.settings import Section
from mimi_dynamics.studies.calm.comparison import (
    CURVE_SAMPLES,
    CURVE_STARTS,
    Comparison,
    our_parameters,
)
from mimi_dynamics.studies.calm.factorised import OursJob, PredictorJob, train_ours, train_predictor
from mimi_dynamics.studies.calm.heads import CALM_HEADS
from mimi_dynamics.studies.calm.inputs import Factorisation
from mimi_dynamics.studies.calm.model import CalmShape, head_of, shape_of
from mimi_dynamics.studies.calm.training import CalmJob, Trained, train_calm
from mimi_dynamics.studies.rssm.model import Rssm

# Stabilisers to switch off, one at a time. The temperature is not among them: it is not part of
# training, and it is chosen anyway.
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
# Sections of params.yaml on which the results of the study depend.
SECTIONS: tuple[str, ...] = ("calm", "calm_study", "codec", "head", "horizons", "latents")
SECTIONS += ("predict", "rollout", "rssm", "seed")
# Factors of all our widths; CALM gets as many parameters as ours then has.
SIZES = (0.5, 0.71, 1.0)
DATA_SHARES = (0.25, 0.5, 1.0)  # shares of the clips of train
COLUMNS = ["study", "row", "variant", "params", "train_flops", "energy_score", "low", "high"]
WORSE = ["worse", "worse_low", "worse_high"]  # difference to the variant `all` of the same row


@dataclass(frozen=True)
class Variant:
    """One training of a study.

    Attributes:
        study: `ablation`, `size` or `data`.
        row: the contender.
        name: what distinguishes the variant.
        job: trains it.
    """

    study: str
    row: str
    name: str
    job: Callable[[], Trained]


def study_params(params: Params) -> Params:
    """Give the settings of the stage `calm`, with the number of trainings of the study."""
    calm = params.calm.model_copy(update={"seeds": params.calm_study.seeds})
    return params.model_copy(update={"calm": calm})


def run_study(comparison: Comparison, factorisation: Factorisation) -> pd.DataFrame:
    """Train and score all variants.

    Returns:
        A table with `COLUMNS` and `WORSE`. The latter is the score of a variant minus that of the
        unchanged contender, paired by clips.
    """
    variants = [*ablation(comparison, factorisation), *scaling(comparison, factorisation)]
    compute = comparison.params.compute
    trained = run_fits([variant.job for variant in variants], "study", compute)
    for variant, result in zip(variants, trained, strict=True):
        if variant.row == "calm":
            head_of(result.generator.step).temperature = comparison.temperature
    grid = comparison.grid("test").thinned(CURVE_STARTS, CURVE_SAMPLES)
    return study_table(comparison, variants, trained, grid)


def ablation(comparison: Comparison, factorisation: Factorisation) -> list[Variant]:
    """List the unchanged contenders, and each without one stabiliser that it uses."""
    params, data = comparison.params, comparison.data
    size = our_parameters(params, factorisation.model)
    whole = calm_job(comparison, size)
    variants = [Variant("ablation", "calm", "all", partial(train_calm, whole))]
    for name, without in switches_that_are_on(whole.shape).items():
        job = partial(train_calm, replace(whole, shape=without))
        variants.append(Variant("ablation", "calm", f"without {name}", job))
    ours = our_job(comparison, factorisation, data)
    variants.append(Variant("ablation", "ours", "all", partial(train_ours, ours)))
    for name, changes in OUR_SWITCHES.items():
        if is_change(params.rssm, changes):
            job = partial(train_ours, replace(ours, changes=changes))
            variants.append(Variant("ablation", "ours", f"without {name}", job))
    return variants


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


def scaling(comparison: Comparison, factorisation: Factorisation) -> list[Variant]:
    """List three sizes on all data, and three shares of the data at full size."""
    cells = [("size", size, 1.0) for size in SIZES]
    cells += [("data", 1.0, share) for share in DATA_SHARES]
    return [v for cell in cells for v in scaled(comparison, factorisation, *cell)]


def scaled(
    comparison: Comparison, factorisation: Factorisation, study: str, size: float, share: float
) -> list[Variant]:
    """List all contenders at one size and on one share of train.

    Args:
        comparison: the trained contenders.
        factorisation: the factorisation of the stage `rssm`.
        study: name of the study.
        size: factor of all widths.
        share: share of the clips of train.
    """
    params = comparison.params
    data = thin_train(comparison.data, share)
    rssm_width, width, plain = (
        max(4, round(size * full))
        for full in (params.rssm.width, params.calm.dynamics_width, params.predict.width)
    )
    ours = replace(
        our_job(comparison, factorisation, data), changes={"width": rssm_width}, width=width
    )
    shape = replace(factorisation.model.shape, width=rssm_width)
    parameters = our_parameters(params, Rssm(shape), width)
    calm = replace(calm_job(comparison, parameters), data=data)
    predictor = PredictorJob(data, params, plain, params.seed)
    name = "all" if size == share == 1 else f"{size if study == 'size' else share:g}"
    return [
        Variant(study, "calm", name, partial(train_calm, calm)),
        Variant(study, "ours", name, partial(train_ours, ours)),
        Variant(study, "predictor", name, partial(train_predictor, predictor)),
    ]


def calm_job(comparison: Comparison, parameters: int) -> CalmJob:
    """Give the training of the unchanged CALM with a given number of parameters."""
    params, data = comparison.params, comparison.data
    return CalmJob(data, params, shape_of(params.calm, data.dim), parameters, params.seed)


def our_job(comparison: Comparison, factorisation: Factorisation, data: Sequences) -> OursJob:
    """Give the training of ours with a factorisation of its own, as every variant has."""
    params = comparison.params
    state_dim = factorisation.model.shape.state_dim
    return OursJob(data, params, state_dim, factorisation.budget, params.seed)


def thin_train(data: Sequences, share: float) -> Sequences:
    """Keep a share of the clips of train, evenly spaced, and all clips of the other splits."""
    train = np.flatnonzero(data.splits == "train")
    kept = choose_evenly(len(train), round(share * len(train)))
    splits = data.splits.astype("<U16")
    splits[np.setdiff1d(train, train[kept])] = "unused"
    return replace(data, splits=splits)


def study_table(
    comparison: Comparison, variants: list[Variant], trained: list[Trained], grid: Grid
) -> pd.DataFrame:
    """Score all variants, and compare each with the unchanged contender."""
    names = [f"{v.study} {v.row} {v.name}" for v in variants]
    generators = {name: result.generator for name, result in zip(names, trained, strict=True)}
    params = comparison.params
    table = score_paths(draw_all(generators, grid, params.compute), grid)
    scores = LeadScores(table, params.predict.bootstrap_samples, params.seed)
    rows = []
    for variant, name, result in zip(variants, names, trained, strict=True):
        whole = scores.overall(f"{variant.study} {variant.row} all")
        score = scores.overall(name)
        row = {"study": variant.study, "row": variant.row, "variant": variant.name}
        cost = {"params": result.parameters, "train_flops": result.flops}
        found = score.metrics("energy_score") | (score - whole).metrics("worse")
        rows.append({**row, **cost, **found})
    columns = {"energy_score_ci_low": "low", "energy_score_ci_high": "high"}
    columns |= {"worse_ci_low": "worse_low", "worse_ci_high": "worse_high"}
    return pd.DataFrame(rows).rename(columns=columns)


def study_metrics(table: pd.DataFrame) -> dict[str, object]:
    """Nest the table by study, contender and variant, and count the stabilisers that are needed."""
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for _, row in table.iterrows():
        name = row["variant"].replace(" ", "_").replace(".", "p")
        values = {key: row[key] for key in ("params", "train_flops", "energy_score", *WORSE)}
        results.setdefault(row["study"], {}).setdefault(row["row"], {})[name] = values
    for variants in results.get("ablation", {}).values():
        needed = sum(v["worse_low"] > 0 for v in variants.values())
        variants["needed"] = int(needed)
    return {**results}
