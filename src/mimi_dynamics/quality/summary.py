"""The mean of every measure over clips, with intervals, by way of decoding."""

import pandas as pd

from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import Metrics
from mimi_dynamics.pipeline.params import Params


def summarise(table: pd.DataFrame, params: Params) -> dict[str, dict[str, float]]:
    """Give the mean of every measure over clips, by way of decoding.

    Args:
        table: one row for each clip and way of decoding, see `measure_clips`.
        params: all settings.

    Raises:
        InputError: no clip has a frame that counts.
    """
    if table.empty:
        raise InputError("every frame of the clips chosen from a split is gated")
    bootstrap = bootstrap_of(table, params)
    results: dict[str, dict[str, float]] = {}
    for way, rows in table.groupby("way", sort=False):
        results[str(way)] = {}
        for measure in rows.columns.drop(["clip", "way"]):
            known = rows[rows[measure].notna()]
            if len(known):
                mean = bootstrap.mean(known[measure].to_numpy(), known["clip"].to_numpy())
                results[str(way)] |= mean.metrics(measure)
    return results


def recognised(table: pd.DataFrame, params: Params) -> Metrics:
    """Give the word error rate by way of decoding, against the words heard in the recording.

    Args:
        table: one row for each clip and way of decoding, with `word_errors` and `words`.
        params: all settings.
    """
    if table.empty:
        return {"words": 0}
    bootstrap = bootstrap_of(table, params)
    results: dict[str, object] = {}
    for way, rows in table.groupby("way", sort=False):
        errors, words = (
            bootstrap.mean(rows[name].to_numpy(), rows["clip"].to_numpy())
            for name in ("word_errors", "words")
        )
        results[str(way)] = (errors / words).metrics("word_error_rate")
        results["words"] = int(rows["words"].sum())
    return results


def bootstrap_of(table: pd.DataFrame, params: Params) -> ClipBootstrap:
    """Draw the bootstrap of the clips in a table."""
    return ClipBootstrap(
        int(table["clip"].max()) + 1, params.predict.bootstrap_samples, params.seed
    )
