"""Do patterns recur? Looks up what came after similar moments, for every key and metric.

For each frame of the test clips: find the train frames whose key, made of their past, is most
alike, and take what came `horizon` frames after those as the forecast.

    python src/recurrence.py     (or: dvc repro recurrence)

Reads data/latents/, models/normalizer.safetensors and models/predictor.safetensors.
Writes metrics/recurrence.json, plots/recurrence.csv and plots/recurrence.png.
"""

from functools import partial
from operator import call
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mimi_dynamics.errors import InputError
from mimi_dynamics.estimation import evaluated_splits
from mimi_dynamics.figures import save_figure
from mimi_dynamics.files import write_metrics, write_text
from mimi_dynamics.gains import clip_bootstrap
from mimi_dynamics.latents import read_latents
from mimi_dynamics.lookup import (
    Found,
    Lookup,
    Scores,
    Yardstick,
    look_up,
    neighbour_counts,
    score_predictor,
)
from mimi_dynamics.lookup_figures import recurrence_figure
from mimi_dynamics.lookup_keys import KEYS, KeyData
from mimi_dynamics.normalizer import load_normalizer, normalized_sequences
from mimi_dynamics.parallel import run_parallel
from mimi_dynamics.params import Params
from mimi_dynamics.predictor import Predictor, load_predictor
from mimi_dynamics.scoring import ClipBootstrap
from mimi_dynamics.stage import run_stage

PREDICTOR_SAMPLES = 2  # unbiased for any number; a sample of a flow is dear
Lookups = dict[tuple[str, str, str], Found]  # by row of data, key, metric


def recurrence(params: Params) -> None:
    """Run the stage."""
    data, predictor = read_key_data(params), read_predictor(params.horizon)
    rows = {"real": data, "shuffled": data.shuffled()}
    lookups, yardstick = look_up_all(params, rows, predictor)
    draws = params.predict.bootstrap_samples
    bootstraps = {
        split: clip_bootstrap(data.sequences, split, draws, params.seed) for split in yardstick
    }
    best = best_lookup(lookups)
    tables = {
        split: split_metrics(lookups, best, yardstick[split], split, bootstrap)
        for split, bootstrap in bootstraps.items()
    }
    metrics = {
        "horizon_frames": params.horizon,
        "dim": data.sequences.dim,
        "frames": len(yardstick["test"].clip),
        **tables.pop("test"),
        **tables,
    }
    write_metrics(Path("metrics/recurrence.json"), metrics)
    table = curves(lookups, yardstick["test"], bootstraps["test"])
    write_text(Path("plots/recurrence.csv"), table.to_csv(index=False, float_format="%.6g"))
    save_figure(recurrence_figure(table, best, params.horizon), Path("plots/recurrence.png"))


def read_key_data(params: Params) -> KeyData:
    """What `encode` and `normalize` wrote, as keys need it."""
    latents = read_latents(Path("data/latents"))
    normalizer = load_normalizer(Path("models/normalizer.safetensors"))
    return KeyData(
        sequences=normalized_sequences(latents, normalizer, params.latents.voiced_range_db),
        codes=torch.from_numpy(latents.codes[:, 0].astype(np.int64)),
        scale=torch.from_numpy(normalizer.scale).float(),
        horizon=params.horizon,
        warmup_frames=params.predict.warmup_frames,
        var_order=params.predict.var_order,
        lr=params.recurrence.lr,
        epochs=params.recurrence.epochs,
        seed=params.seed,
    )


def read_predictor(horizon: int) -> Predictor:
    """What `predict` wrote.

    Raises:
        InputError: if it is not there, or of another horizon.
    """
    path = Path("models/predictor.safetensors")
    if not path.exists():
        raise InputError(f"{path}: not found; run the stage predict")
    predictor, info = load_predictor(path)
    if info["horizon"] != horizon:
        ahead = info["horizon"]
        raise InputError(f"{path}: of horizon = {ahead}, must be {horizon}; run the stage predict")
    return predictor


def look_up_all(
    params: Params, rows: dict[str, KeyData], predictor: Predictor
) -> tuple[Lookups, dict[str, Scores]]:
    """Every lookup, and the predictor's scores by split, on all cores."""
    real, samples = rows["real"], params.recurrence.samples
    counts = neighbour_counts(real, params.recurrence.neighbours)
    names = [(row, key) for key in KEYS for row in rows if (row, key) != ("shuffled", "random")]
    jobs = [partial(look_up, Lookup(row, key, rows[row], counts, samples)) for row, key in names]
    splits = evaluated_splits(real.sequences)
    yardsticks = [
        partial(score_predictor, Yardstick(predictor, real, split, PREDICTOR_SAMPLES))
        for split in splits
    ]
    results = run_parallel(call, yardsticks + jobs, "look up")
    found = zip(names, results[len(splits) :], strict=True)
    lookups = {(*name, metric): f for name, by in found for metric, f in by.items()}
    return lookups, dict(zip(splits, results, strict=False))


def best_lookup(lookups: Lookups) -> tuple[str, str]:
    """Key and metric that explain most on validation."""
    found = {(key, metric): f for (row, key, metric), f in lookups.items() if row == "real"}
    return max((name for name in found if name[0] != "random"), key=lambda n: found[n].validation)


def split_metrics(
    lookups: Lookups,
    best: tuple[str, str],
    predictor: Scores,
    split: str,
    bootstrap: ClipBootstrap,
) -> dict[str, object]:
    """All of `metrics/recurrence.json` that is about one split."""
    metrics: dict[str, dict] = {"predictor": score_metrics(predictor, bootstrap), "shuffled": {}}
    for (row, key, metric), found in lookups.items():
        table = metrics if row == "real" else metrics[row]
        entry = score_metrics(found.scores[split], bootstrap) | {"neighbours": found.neighbours}
        table.setdefault(key, {})[metric] = entry
    key, metric = best
    reduction, null = (
        lookups[row, key, metric].scores[split].variance_reduction(bootstrap)
        for row in ("real", "shuffled")
    )
    parametric = predictor.variance_reduction(bootstrap)
    metrics["best"] = {
        "key": key,
        "metric": metric,
        **(reduction - null).metrics("variance_reduction_over_shuffled"),
        **(reduction - parametric).metrics("variance_reduction_over_predictor"),
    }
    return metrics


def score_metrics(scores: Scores, bootstrap: ClipBootstrap) -> dict[str, float]:
    """Scores of one forecast, with intervals."""
    return {
        **scores.variance_reduction(bootstrap).metrics("variance_reduction"),
        **scores.variance_reduction(bootstrap, of_change=True).metrics("delta_variance_reduction"),
        **scores.energy_skill(bootstrap).metrics("energy_skill"),
    }


def curves(lookups: Lookups, predictor: Scores, bootstrap: ClipBootstrap) -> pd.DataFrame:
    """Variance reduction on test for every number of neighbours, one row each."""
    rows: list[dict[str, object]] = []
    for (row, key, metric), found in lookups.items():
        rivals = [lookups[row, key, other].validation for other in KEYS[key].metrics]
        for power, reduction in enumerate(found.scores["test"].reductions(bootstrap)):
            rows.append(
                {
                    "data": row,
                    "key": key,
                    "metric": metric,
                    "neighbours": 2**power,
                    **reduction.metrics("variance_reduction"),
                    "chosen": 2**power == found.neighbours,
                    "best_metric": found.validation == max(rivals),
                }
            )
    reduction = predictor.variance_reduction(bootstrap).metrics("variance_reduction")
    alone = {"chosen": False, "best_metric": False}  # nothing to choose
    rows.append({"data": "real", "key": "predictor", "metric": "", **reduction, **alone})
    return pd.DataFrame(rows).astype({"neighbours": "Int64"})


if __name__ == "__main__":
    run_stage(recurrence)
