"""How does the gain fall with lead time? Compare what stage `horizon` found at every distance.

    python src/horizons.py       (or: dvc repro horizons)

Reads data/latents/, models/normalizer.safetensors and data/horizons/.
Writes metrics/horizons.json, metrics/detail/horizons.json and plots/horizons.csv.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec, evaluated_splits
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.gains import STACK, Gains, clip_bootstrap
from mimi_dynamics.evidence.intervals import TrainedEstimate, over_trainings
from mimi_dynamics.evidence.power import smallest_gain_seen
from mimi_dynamics.evidence.scores import read_fits
from mimi_dynamics.evidence.surrogates import reorderings
from mimi_dynamics.latents.loading import read_data, read_voices
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.horizons.metrics import ByLead, free_gain, summarise


def horizons(params: Params) -> None:
    """Run the stage."""
    real = read_data(params)
    draws = params.predict.bootstrap_samples
    bootstraps = {
        split: clip_bootstrap(real, split, draws, params.seed) for split in evaluated_splits(real)
    }
    gains: dict[str, dict[int, list[Gains]]] = {split: {} for split in bootstraps}
    for k in params.horizons:
        template = FitSpec("real", real, params.head, k, params.predict, params.seed)
        rows = {"real": real} | reorderings(real, template.first, template.seed)
        fits = read_fits(k)
        for split, bootstrap in bootstraps.items():
            gains[split][k] = [Gains(template, rows, of, split, bootstrap) for of in fits]
    voices = {split: read_voices(split) for split in bootstraps}
    metrics = summarise(gains, voices)
    for k, seen in smallest_gains_seen(params, real, bootstraps["test"]).items():
        metrics[f"k{k}"] |= {"smallest_gain_seen_nats_per_dim": seen}
    write_stage_metrics("horizons", metrics)
    write_plots(gains["test"])


def smallest_gains_seen(
    params: Params, real: Sequences, bootstrap: ClipBootstrap
) -> dict[int, float]:
    """Give the smallest planted gain that would have been seen, by distance, where one would."""
    jobs = []
    for k in params.horizons:
        template = FitSpec("shuffled", real, "", k, params.predict, params.seed)
        shuffled = reorderings(real, template.first, template.seed)["shuffled"]
        jobs.append(partial(smallest_gain_seen, replace(template, sequences=shuffled), bootstrap))
    seen = zip(params.horizons, run_parallel(jobs, "planted gains"), strict=True)
    return {k: gain for k, gain in seen if gain is not None}


def write_plots(gains: ByLead) -> None:
    """Write gain against lead time as CSV, with a row for each lead and all curves side by side.

    Args:
        gains: the gains on the test split, by distance in frames.
    """
    table = pd.DataFrame(
        {"lead_ms": gains[k][0].lead_ms}
        | {
            f"{name}{end}": metrics[f"gain{end and '_ci'}{end}"]
            for name, estimate in curves(gains[k]).items()
            for metrics in [estimate.metrics("gain")]
            for end in ("", "_low", "_high")
        }
        for k in sorted(gains)
    )
    write_table(Path("plots/horizons.csv"), table)


def curves(trainings: Sequence[Gains]) -> dict[str, TrainedEstimate | Estimate]:
    """Give what is drawn of one distance, by the name of its curve.

    Args:
        trainings: the gains of every training.
    """
    first = trainings[0]
    return {
        "real": over_trainings([of.gain("real", STACK) for of in trainings]),
        "shuffled": over_trainings([of.gain("shuffled", STACK) for of in trainings]),
        "var": first.gain("real", LINEAR_BASELINE),
        "delta": over_trainings([of.gain("real", STACK, delta=True) for of in trainings]),
        "delta_permuted": free_gain(first),
        "delta_var": first.gain("real", LINEAR_BASELINE, delta=True),
        "delta_var_permuted": first.gain("permuted", LINEAR_BASELINE, delta=True),
    }


if __name__ == "__main__":
    run_stage(horizons)
