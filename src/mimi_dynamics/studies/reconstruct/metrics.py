"""Means of every measure over clips, by way of decoding, with intervals."""

import pandas as pd

from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.reconstruct.reconstruction import OPUS_BITS_PER_S


def rates(codec: float) -> dict[str, float]:
    """Bits a second of the ways that have such a thing."""
    return {"codec": codec, "log_mel": codec, "opus": OPUS_BITS_PER_S}


def summarise(table: pd.DataFrame, params: Params) -> dict[str, dict[str, float]]:
    """Mean of every measure over clips, by way of decoding."""
    bootstrap = bootstrap_of(table, params)
    found: dict[str, dict[str, float]] = {}
    for way, rows in table.groupby("way", sort=False):
        found[str(way)] = {}
        for measure in rows.columns.drop(["clip", "way"]):
            known = rows[rows[measure].notna()]
            if len(known):
                mean = bootstrap.mean(known[measure].to_numpy(), known["clip"].to_numpy())
                found[str(way)] |= mean.metrics(measure)
    return found


def recognised(table: pd.DataFrame, params: Params) -> dict[str, object]:
    """Word error rate, by way of decoding, against what is heard in the recording."""
    if table.empty:
        return {"words": 0}
    bootstrap = bootstrap_of(table, params)
    found: dict[str, object] = {}
    for way, rows in table.groupby("way", sort=False):
        errors, words = (
            bootstrap.mean(rows[name].to_numpy(), rows["clip"].to_numpy())
            for name in ("word_errors", "words")
        )
        found[str(way)] = (errors / words).metrics("word_error_rate")
        found["words"] = int(rows["words"].sum())
    return found


def bootstrap_of(table: pd.DataFrame, params: Params) -> ClipBootstrap:
    """Draws of the clips of a table."""
    return ClipBootstrap(
        int(table["clip"].max()) + 1, params.predict.bootstrap_samples, params.seed
    )
