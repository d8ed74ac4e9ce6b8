"""Lookups by every key, the best of them, and curves by number of neighbours."""

from collections.abc import Callable
from functools import partial
from typing import cast

import pandas as pd

from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.recurrence.keys import KEYS, KeyData, keys_of
from mimi_dynamics.studies.recurrence.lookup import (
    Found,
    Lookup,
    Scores,
    Yardstick,
    look_up,
    neighbour_counts,
    score_predictor,
)

# Scores are unbiased for any number of samples, and samples of a flow are expensive.
PREDICTOR_SAMPLES = 2


Lookups = dict[tuple[str, str, str], Found]  # keyed by row of data, key and metric


def look_up_all(
    params: Params, rows: dict[str, KeyData], predictor: Predictor
) -> tuple[Lookups, dict[str, Scores]]:
    """Run every lookup, and score the predictor on each split, on all cores.

    Args:
        params: all settings.
        rows: data by name, including `real`.
        predictor: the trained predictor.

    Returns:
        The lookups, and the scores of the predictor by split.

    Raises:
        InputError: if train has fewer frames than the largest number of neighbours.
    """
    real, samples = rows["real"], params.recurrence.samples
    counts = neighbour_counts(real, params.recurrence.neighbours)
    names = [
        (row, key) for key in keys_of(real) for row in rows if (row, key) != ("shuffled", "random")
    ]
    jobs = [partial(look_up, Lookup(row, key, rows[row], counts, samples)) for row, key in names]
    splits = evaluated_splits(real.sequences)
    yardsticks = [
        partial(score_predictor, Yardstick(predictor, real, split, PREDICTOR_SAMPLES))
        for split in splits
    ]
    work: list[Callable[[], Scores | dict[str, Found]]] = [*yardsticks, *jobs]
    results = run_parallel(work, "look up")
    scores = cast("list[Scores]", results[: len(splits)])
    found = cast("list[dict[str, Found]]", results[len(splits) :])
    named = zip(names, found, strict=True)
    lookups = {(*name, metric): f for name, by in named for metric, f in by.items()}
    return lookups, dict(zip(splits, scores, strict=True))


def best_lookup(lookups: Lookups) -> tuple[str, str]:
    """Find the key and the metric that explain most on validation."""
    results = {(key, metric): f for (row, key, metric), f in lookups.items() if row == "real"}
    return max(
        (name for name in results if name[0] != "random"), key=lambda n: results[n].validation
    )


def split_metrics(
    lookups: Lookups,
    best: tuple[str, str],
    predictor: Scores,
    split: str,
    bootstrap: ClipBootstrap,
) -> dict[str, object]:
    """Give the entry of one split in `metrics/detail/recurrence.json`.

    Args:
        lookups: all lookups.
        best: the key and the metric that are best on validation.
        predictor: scores of the predictor on that split.
        split: name of the split.
        bootstrap: bootstrap draws of its clips.
    """
    metrics: dict[str, dict] = {"predictor": score_metrics(predictor, bootstrap), "shuffled": {}}
    for (row, key, metric), result in lookups.items():
        table = metrics if row == "real" else metrics[row]
        entry = score_metrics(result.scores[split], bootstrap) | {"neighbours": result.neighbours}
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
        **reduction.beyond(null).metrics("variance_reduction_over_shuffled"),
        **(reduction - parametric).metrics("variance_reduction_over_predictor"),
    }
    return {**metrics}


def score_metrics(scores: Scores, bootstrap: ClipBootstrap) -> dict[str, float]:
    """Give the scores of one forecast, with intervals."""
    return {
        **scores.variance_reduction(bootstrap).metrics("variance_reduction"),
        **scores.variance_reduction(bootstrap, of_change=True).metrics("delta_variance_reduction"),
        **scores.energy_skill(bootstrap).metrics("energy_skill"),
    }


def curves(lookups: Lookups, predictor: Scores, bootstrap: ClipBootstrap) -> pd.DataFrame:
    """Give the variance reduction on test for every key, metric and number of neighbours."""
    rows: list[dict[str, object]] = []
    for (row, key, metric), result in lookups.items():
        rivals = [lookups[row, key, other].validation for other in KEYS[key].metrics]
        for power, reduction in enumerate(result.scores["test"].reductions(bootstrap)):
            rows.append(
                {
                    "data": row,
                    "key": key,
                    "metric": metric,
                    "neighbours": 2**power,
                    **reduction.metrics("variance_reduction"),
                    "chosen": 2**power == result.neighbours,
                    "best_metric": result.validation == max(rivals),
                }
            )
    of_predictor = predictor.variance_reduction(bootstrap).metrics("variance_reduction")
    alone = {"chosen": False, "best_metric": False}  # the predictor has nothing to choose
    rows.append({"data": "real", "key": "predictor", "metric": "", **of_predictor, **alone})
    return pd.DataFrame(rows).astype({"neighbours": "Int64"})
