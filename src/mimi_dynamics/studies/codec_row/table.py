"""All rows side by side, those that are true of this run apart from those that are not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from mimi_dynamics.pipeline.conventions import READ
from mimi_dynamics.pipeline.metrics import read_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.studies import differences, in_words
from mimi_dynamics.studies.codec_row.records import origin_of, row_path
from mimi_dynamics.studies.codec_row.subjects import (
    LEGS,
    LESS_TRAINED,
    RUN,
    STEPS,
    UNTRAINED,
    weights_of,
)

NOT_TODAYS = "not_todays"  # where rows stand that were made with something else
MEASURES = {  # what the figure shows, by its name in the table of it
    "gain": "gain_nats_per_dim",
    "dynamic": "dynamic_gain_nats_per_dim",
    "speech_borne": "speech_borne_gain_nats_per_dim",
    "spliced": "spliced.dynamic_gain_nats_per_dim",
}
AGAINST_QUALITY = ("dynamic", "speech_borne")  # of them, those that the other figure shows
QUALITY = ("log_mel", "word_error_rate")
ENDS = ("", "_ci_low", "_ci_high")


def read_rows(params: Params, clips: str, own_weights: str | None = None) -> dict[str, Any]:
    """Read all rows that are there, and mark those of other weights, clips or settings.

    Args:
        params: all settings.
        clips: today's clips; see `pipeline.studies.clips_sha256`. Rows of read speech have others,
            which are not at hand.
        own_weights: what stands for the hash of weights in the row of the run if its latents have
            no codec; None if they have one.

    Returns:
        The metrics of each row by name, the run's codec first. Under `not_todays` are those with
        something else behind them, by name, each with `differs`, which says what that is.

    Raises:
        InputError: there is no row of the run's codec, or a file is not readable.
    """
    rows: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for row in (RUN, *params.codec_table.rows):
        if row != RUN and not row_path(row).exists():
            continue
        metrics = read_metrics(row_path(row))
        origin = metrics.pop("origin")
        own = row.removeprefix(READ) == RUN and own_weights is not None
        weights = own_weights if own else weights_of(row, params)
        of = None if row.startswith(READ) else clips
        if told := differences(origin, origin_of(row, weights, of, params)):
            others[row] = {**metrics, "differs": in_words(told)}
        else:
            rows[row] = metrics
    return rows | ({NOT_TODAYS: others} if others else {})


def plot_table(rows: Mapping[str, Any]) -> pd.DataFrame:
    """Give the gains of all rows that are true of this run, with the ends of their intervals.

    Rows of mimi-mini after less training are left to `quality_table`.

    Args:
        rows: see `read_rows`.

    Returns:
        A table with the columns `row`, `split`, `what`, `value`, `low`, `high`.
    """
    names = [name for name in rows if name not in (NOT_TODAYS, *LESS_TRAINED)]
    found = [
        (name, split, *values)
        for name in names
        for split, metrics in (("test", rows[name]), ("test_voice", rows[name].get("test_voice")))
        if metrics
        for values in _measures(metrics)
    ]
    return pd.DataFrame(found, columns=["row", "split", "what", "value", "low", "high"])


def quality_table(rows: Mapping[str, Any], params: Params) -> pd.DataFrame:
    """Give gain and quality of all rows that are true of this run's clips and have a quality.

    Args:
        rows: see `read_rows`.
        params: all settings.

    Returns:
        A table of the test split with the columns `row`; `legs`, of the training of mimi-mini, how
        many the codec has had, NaN of a codec that is not mimi-mini; `log_mel` in nepers and
        `word_error_rate`; and `dynamic` and `speech_borne`, gains in nats per dimension. All of
        these measures have `_ci_low` and `_ci_high`. What was not measured is NaN.
    """
    legs = legs_of(params)
    found = [
        {"row": name, "legs": legs.get(name), **_quality_and_gains(metrics)}
        for name, metrics in rows.items()
        if name != NOT_TODAYS and not name.startswith(READ) and "quality" in metrics
    ]
    measures = [f"{what}{end}" for what in (*QUALITY, *AGAINST_QUALITY) for end in ENDS]
    return pd.DataFrame(found, columns=["row", "legs", *measures])


def legs_of(params: Params) -> dict[str, float]:
    """Give the number of legs of training of all rows that are mimi-mini, in the shape of the run.

    A training of fewer steps than the first leg has counts as a part of it.

    Args:
        params: all settings.
    """
    legs = params.codec.mini.legs
    less = {row: steps / legs[0].steps for row, steps in STEPS.items()} | LEGS
    if params.codec.name != "mimi-mini":
        return less
    return {UNTRAINED: 0, **less, RUN: len(legs)}


def _quality_and_gains(metrics: Mapping[str, Any]) -> dict[str, float]:
    keys = {what: MEASURES[what] for what in AGAINST_QUALITY}
    quality = metrics["quality"]
    found = {f"{what}{end}": quality.get(f"{what}{end}") for what in QUALITY for end in ENDS}
    return found | {
        f"{what}{end}": metrics.get(f"{key}{end}") for what, key in keys.items() for end in ENDS
    }


def _measures(metrics: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    for what, key in MEASURES.items():
        *path, last = key.split(".")
        of = metrics
        for part in path:
            of = of.get(part, {})
        if last in of:
            yield what, of[last], of[f"{last}_ci_low"], of[f"{last}_ci_high"]
