"""The contents of `bet4_study.json` and `bet4_other.json`: scores of both leads, ratios, costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.intervals import TrainedEstimate, over_trainings
from mimi_dynamics.generation.generator import Generator, Grid
from mimi_dynamics.generation.rollouts import Starts, linear_floor
from mimi_dynamics.generation.scores import LeadScores, draw_all, score_paths
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.calm.bet import (
    LEADS,
    Sampling,
    bet_grid,
    choose_sampling,
    judged_by,
    sampled,
)
from mimi_dynamics.studies.calm.comparison import linear_model
from mimi_dynamics.studies.calm.contenders import OURS, RECIPES, train_contenders
from mimi_dynamics.studies.calm.flops import frame_flops, network_evaluations
from mimi_dynamics.studies.calm.kept import Job
from mimi_dynamics.studies.calm.training import Trained

Ways = Mapping[str, Sequence[Sampling]]
Score = TrainedEstimate | Estimate
BOTH = "leads_1_2"
UNTRAINED = ("climatology", "persistence")  # rows that `score_paths` adds


def run_bet(
    params: Params, data: Sequences, jobs: Mapping[str, Sequence[Job]], folder: Path
) -> dict[str, object]:
    """Train all contenders, choose on validation how CALM draws, and give `bet_metrics`.

    Args:
        params: see `bet.bet_params`.
        data: the frames x of every split.
        jobs: from `contenders.contender_jobs`.
        folder: where trainings are kept, so that a study that was stopped goes on.
    """
    trained = train_contenders(params, jobs, folder)
    return bet_metrics(params, data, trained, choose_sampling(params, data, trained))


def bet_metrics(
    params: Params, data: Sequences, trained: Mapping[str, list[Trained]], ways: Ways
) -> dict[str, object]:
    """Score the contenders on every evaluated split, and compare what they cost.

    Args:
        params: see `bet.bet_params`.
        data: the frames x of every split.
        trained: the contenders, from `contenders.train_contenders`.
        ways: how each recipe can be sampled, the best on validation first.
    """
    judged = judged_by(ways)
    generators: dict[str, list[Generator]] = {
        name: [run.generator for run in runs] for name, runs in trained.items()
    }
    for recipe, (best, *_) in ways.items():
        generators[recipe] = [
            sampled(generator, best.steps, best.temperature) for generator in generators[recipe]
        ]
    generators["var"] = [Generator(linear_floor(linear_model(params, data)), data)]

    grids = {split: bet_grid(params, data, split) for split in evaluated_splits(data)}
    by_split = {
        split: split_metrics(params, generators, grid, judged) for split, grid in grids.items()
    }
    metrics = by_split.pop("test")
    start = grids["test"].starts[:1]
    for name, runs in trained.items():
        head = RECIPES[name].head if name in RECIPES else params.head
        metrics[name] |= {
            "parameters": runs[0].parameters,
            "train_operations": runs[0].flops,
            "train_passes": runs[0].passes,
        } | generation_metrics(generators[name][0], head, start)
    for key in ("parameters", "train_operations", "generation_operations"):
        metrics["ratio"][key] = metrics[OURS][key] / metrics[judged][key]
    metrics["judged"] = judged
    metrics["validation"] = validation_metrics(ways)
    metrics["trainings"] = params.calm.seeds
    return {**metrics, **by_split}


def split_metrics(
    params: Params, generators: Mapping[str, Sequence[Generator]], grid: Grid, judged: str
) -> dict[str, Any]:
    """Draw from all contenders on one split, and give their scores and the ratios of ours to them.

    Args:
        params: all settings.
        generators: the trainings of every contender, in an order in which ours and CALM are paired.
        grid: the starts.
        judged: the recipe that bet 4 is about.
    """
    each = {f"{name} {n}": g for name, of in generators.items() for n, g in enumerate(of)}
    table = score_paths(draw_all(each, grid, params.compute), grid)
    scores = LeadScores(table, params.predict.bootstrap_samples, params.seed)
    by_lead: dict[str, dict[str, Score]] = {}
    for name in (*generators, *UNTRAINED):
        rows = (
            [f"{name} {n}" for n in range(len(generators[name]))] if name in generators else [name]
        )
        by_lead[name] = {
            f"k{lead}": over_trainings([scores.at(row, lead) for row in rows]) for lead in LEADS
        } | {BOTH: over_trainings([scores.overall(row) for row in rows])}
    metrics = {name: {"energy_score": merged(of)} for name, of in by_lead.items()}
    ratios = {
        name: merged({f"energy_score_{key}": _over(by_lead[OURS][key], of[key]) for key in of})
        for name, of in by_lead.items()
        if name != OURS
    }
    return {**metrics, "ratio": dict(ratios[judged]), "ratio_to": ratios}


def _over(ours: Score, theirs: Score) -> Score:
    """Divide the score of ours by that of a contender that has no more trainings."""
    if isinstance(ours, TrainedEstimate):
        return ours / theirs
    if isinstance(theirs, TrainedEstimate):
        raise TypeError("of one training of ours there is no ratio to several")
    return ours / theirs


def merged(estimates: Mapping[str, Score]) -> dict[str, float]:
    """Join the metrics of several estimates, by name."""
    return {k: v for name, estimate in estimates.items() for k, v in estimate.metrics(name).items()}


def generation_metrics(generator: Generator, head: str, start: Starts) -> dict[str, float]:
    """Give what one generated frame costs."""
    return {
        "network_evaluations_per_frame": network_evaluations(generator, head),
        "generation_operations": frame_flops(generator, start),
    }


def validation_metrics(ways: Ways) -> dict[str, dict[str, float]]:
    """Give the score of every way to sample every recipe on validation, and the best way."""
    return {
        recipe: {
            "steps": of[0].steps,
            "temperature": of[0].temperature,
            **{
                f"energy_score_steps_{way.steps}_temperature_{way.temperature:g}".replace(
                    ".", "p"
                ): way.score
                for way in of
            },
        }
        for recipe, of in ways.items()
    }
