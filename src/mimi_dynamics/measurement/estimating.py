"""The gain of prepared latents, by the code of the stage `predict`, and how far to trust it.

Given the same latents, splits and settings, gains and intervals equal those of `predict` to the
last digit, since all fits, stacks and bootstraps are the same calls with the same seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mimi_dynamics.density.fit import FitSpec, check_horizon, evaluated_splits
from mimi_dynamics.diagnostics.calibration import calibration_metrics, rank_truth
from mimi_dynamics.diagnostics.learning_curve import fit_rows, learning_curve, parts_of_train
from mimi_dynamics.diagnostics.point_forecast import point_forecast_metrics
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.evidence.gains import (
    POINT_HEAD,
    STACK,
    Fits,
    Gains,
    best_head,
    fit_many,
    fit_trainings,
    stacks,
)
from mimi_dynamics.evidence.intervals import over_trainings
from mimi_dynamics.evidence.power import smallest_gain_seen
from mimi_dynamics.evidence.surrogates import reorderings
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.measurement.controlling import control_metrics
from mimi_dynamics.measurement.efforts import Effort
from mimi_dynamics.measurement.preparing import Prepared
from mimi_dynamics.pipeline.parallel import run_parallel


class UnitBootstrap(ClipBootstrap):
    """Draws of clips, where some clips are in pieces: all pieces of a clip are drawn together.

    Where none is in pieces, these are the draws of `ClipBootstrap`.

    Args:
        units: (pieces,) the number of the clip that each is of.
        samples: number of draws.
        seed: seed of the draws.
    """

    def __init__(self, units: np.ndarray, samples: int, seed: int) -> None:
        numbers, of_piece = np.unique(units, return_inverse=True)
        super().__init__(len(numbers), samples, seed)
        self.weights = self.weights[:, of_piece]


class Lead(NamedTuple):
    """Everything that was fitted for one horizon.

    Attributes:
        template: settings shared by all fits.
        rows: the real latents, and the same shuffled within clips.
        trainings: the fits and stacks of each training.
    """

    template: FitSpec
    rows: dict[str, Sequences]
    trainings: list[Fits]


def estimate(
    prepared: Prepared, effort: Effort, horizons: Sequence[int], seed: int
) -> dict[str, Any]:
    """Measure latents at several horizons.

    Args:
        prepared: the latents.
        effort: what to fit.
        horizons: how many frames ahead, in ascending order.
        seed: of trainings, surrogates, controls and bootstraps.

    Returns:
        The contents of `Measurement.results`.

    Raises:
        InputError: a horizon is too long for the clips of a split.
    """
    data, settings = prepared.sequences, effort.settings
    templates = [FitSpec("real", data, "", k, settings, seed) for k in horizons]
    for template in templates:
        check_horizon(template)
    head, known = chosen_head(templates[0], effort)
    leads = [
        fitted_lead(template, effort, head, known if template is templates[0] else {})
        for template in templates
    ]
    bootstraps = {
        split: UnitBootstrap(prepared.units[data.splits == split], settings.bootstrap_samples, seed)
        for split in evaluated_splits(data)
    }
    nearest = leads[0]
    parts = parts_of_train(nearest.template)
    fits = {
        name: fit_rows(nearest.template, rows, head, effort.beside) for name, rows in parts.items()
    }
    whole = Gains(nearest.template, nearest.rows, nearest.trainings[0], "test", bootstraps["test"])
    ranks = rank_truth(
        nearest.template, nearest.trainings[0]["real", head, "conditional"].network, "test"
    )
    return {
        "head": head,
        "weights": nearest.trainings[0]["real", STACK, "conditional"].weights,
        "horizons": horizon_metrics(leads, bootstraps),
        "learning_curve": learning_curve(nearest.template, parts, fits, whole),
        "calibration": calibration_metrics({head: ranks}, bootstraps["test"])[head],
        "controls": control_metrics(nearest.template, effort, head, bootstraps["test"]),
    }


def chosen_head(template: FitSpec, effort: Effort) -> tuple[str, Fits]:
    """Fit all heads to the real latents, and choose the one that is best on validation.

    Returns:
        Its name, and the fits.
    """
    heads: list[str] = list(effort.settings.heads)
    fits = fit_many([replace(template, head=head) for head in heads])
    return best_head(fits, "real", heads), fits


def fitted_lead(template: FitSpec, effort: Effort, head: str, known: Fits) -> Lead:
    """Fit a head and the densities without a network to real and to shuffled latents, and stack.

    Args:
        template: settings shared by all fits.
        effort: what to fit beside the head, and how often to train it on the nearest horizon.
        head: name of the head.
        known: fits that were done before, which only those of the nearest horizon have.
    """
    shuffled = reorderings(template.sequences, template.first, template.seed)["shuffled"]
    rows = {"real": template.sequences, "shuffled": shuffled}
    of_head = [replace(template, row=row, sequences=data, head=head) for row, data in rows.items()]
    once = [replace(job, head=of) for job in of_head for of in effort.beside]
    once.append(replace(template, head=POINT_HEAD))
    count = effort.trainings if known else 1
    jobs = [
        [replace(job, seed=template.seed + number) for job in of_head] for number in range(count)
    ]
    jobs[0] += once
    jobs[0] = [job for job in jobs[0] if (job.row, job.head, "conditional") not in known]
    trainings = fit_trainings(jobs)
    trainings[0] = known | trainings[0]
    shared = {key: of for key, of in trainings[0].items() if key[1] in effort.beside}
    return Lead(template, rows, [of | stacks(shared | of, head) for of in trainings])


def horizon_metrics(
    leads: Sequence[Lead], bootstraps: Mapping[str, ClipBootstrap]
) -> dict[str, dict[str, Any]]:
    """Give gains, R² and what could have been seen, by horizon: on `test`, and on a held-out voice.

    Args:
        leads: the fits of each horizon.
        bootstraps: draws of the clips of each split.
    """
    null = [replace(of.template, row="shuffled", sequences=of.rows["shuffled"]) for of in leads]
    jobs = [partial(smallest_gain_seen, job, bootstraps["test"]) for job in null]
    seen = run_parallel(jobs, "plant gains")
    metrics: dict[str, dict[str, Any]] = {}
    for lead, smallest in zip(leads, seen, strict=True):
        found: dict[str, Any] = {**gain_metrics(lead, "test", bootstraps["test"])}
        if smallest is not None:
            found["smallest_gain_seen_nats_per_dim"] = smallest
        others = [split for split in bootstraps if split != "test"]
        found |= {split: gain_metrics(lead, split, bootstraps[split]) for split in others}
        metrics[str(lead.template.horizon)] = found
    return metrics


def gain_metrics(lead: Lead, split: str, bootstrap: ClipBootstrap) -> dict[str, float]:
    """Give the gains of the stack on one split, in nats per dimension, and R²."""
    of = [Gains(lead.template, lead.rows, fits, split, bootstrap) for fits in lead.trainings]
    point = lead.trainings[0]["real", POINT_HEAD, "conditional"]
    estimates = {
        "gain": [gains.gain("real", STACK) for gains in of],
        "shuffled_gain": [gains.gain("shuffled", STACK) for gains in of],
        "dynamic_gain": [gains.dynamic_gain(STACK) for gains in of],
    }
    return {
        "frames": len(of[0].scored["real"].clip),
        **{
            key: value
            for name, found in estimates.items()
            for key, value in over_trainings(found).metrics(f"{name}_nats_per_dim").items()
        },
        "r2": point_forecast_metrics(lead.template, point, split)["r2_one_step"],
    }
