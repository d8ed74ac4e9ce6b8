"""The metrics of a stage, in two files: all of its numbers, and the few that people watch.

`metrics/detail/<stage>.json` holds every number of a stage, so all of them are in one place.
`metrics/<stage>.json` repeats the headline numbers, which are the only ones that
`dvc metrics diff` and `dvc exp show` print. A stage without a headline has only the first file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import read_json, write_metrics

Metrics = Mapping[str, Any]  # The content of one file: nested dicts of numbers and strings.
HEADLINE_FOLDER = Path("metrics")
DETAIL_FOLDER = HEADLINE_FOLDER / "detail"
SCHEMA_VERSION = 1  # Raise it when a key of a detail file changes its meaning.


class Headline(NamedTuple):
    """The keys of a detail file that make up a headline, with dots between their levels.

    Attributes:
        numbers: keys that are copied alone.
        judged: keys that a bet or the README judges; the ends of their intervals are copied too.
    """

    numbers: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()


HEADLINES = {
    "ingest": Headline(("clips", "hours", "voices", "rejected.total")),
    "codec": Headline(("test.log_mel_quantized",)),
    "reconstruct": Headline(("test.codec.log_mel", "english.codec.word_error_rate")),
    "controls": Headline(
        ("worst_held_out_recovered", "worst_null_nats_per_dim", "worst_recovered")
    ),
    "predict": Headline(
        (
            "delta.dnll_nats_per_dim",
            "gain_nats_per_dim",
            "horizon_frames",
            "test_voice.dynamic_gain_nats_per_dim",
        ),
        ("dynamic_gain_nats_per_dim",),
    ),
    "horizons": Headline(
        (
            *(f"k{k}.dynamic_gain_nats_per_dim" for k in (2, 4, 8)),
            *(f"k{k}.delta.dnll_nats_per_dim" for k in (1, 2, 3, 4, 8)),
        ),
        ("k1.dynamic_gain_nats_per_dim",),
    ),
    "codec_table": Headline(
        tuple(
            f"{row}.{gain}_nats_per_dim"
            for row in ("codec", "untrained", "log_mel", "lyra")
            for gain in ("dynamic_gain", "speech_borne_gain")
        )
    ),
    "codes": Headline(
        (
            "frequencies_bits_per_s",
            "given_past_bits_per_s",
            "nominal_bits_per_s",
            "saved_share",
            "saved_share_from_past_beyond_shuffled",
        ),
        ("saved_share_over_frequencies",),
    ),
    "rollout": Headline(("k1.skill.rollout", "k2.skill.rollout", "k2.gap")),
    "rssm": Headline(
        (
            "collapsed",
            "dynamic_ease",
            "dynamic_ease_over_raw",
            "fidelity_r2",
            "innovation_bits_per_s",
            "sufficiency",
        ),
        ("ease_above_frontier",),
    ),
    "engram": Headline(
        judged=(
            "z_dyn.help_nats_per_frame",
            "z_dyn.help_over_shuffled_keys_nats_per_frame",
        )
    ),
    "calm": Headline(judged=("ratio.energy_score", "ratio.train_flops_to_equal_energy_score")),
    "bets": Headline(
        tuple(
            f"bet{number}.{key}"
            for number in (1, 2, 3, 4)
            for key in ("posterior", "supported", "measured")
        )
    ),
}


def write_stage_metrics(stage: str, metrics: Metrics) -> None:
    """Write all metrics of a stage, and its headline if it has one.

    A headline key that this run does not have is left out, such as the gain on a held-out voice
    when no voice is held out.

    Args:
        stage: name of the stage.
        metrics: nested dict of finite numbers and strings.

    Raises:
        ValueError: a value is neither a finite number nor a string.
    """
    write_metrics(detail_path(stage), {"schema_version": SCHEMA_VERSION, **metrics})
    if stage in HEADLINES:
        write_metrics(HEADLINE_FOLDER / f"{stage}.json", headline(stage, metrics))


def headline(stage: str, metrics: Metrics) -> dict[str, Any]:
    """Select the headline of a stage from its `metrics`, with the same nesting."""
    selected: dict[str, Any] = {}
    for key in headline_keys(stage):
        *path, last = key.split(".")
        source, target = metrics, selected
        for part in path:
            source = source.get(part, {})
        if last in source:
            for part in path:
                target = target.setdefault(part, {})
            target[last] = source[last]
    return selected


def headline_keys(stage: str) -> Iterator[str]:
    """Yield the dotted keys of a stage's headline, including those of the ends of intervals."""
    numbers, judged = HEADLINES[stage]
    yield from numbers
    for key in judged:
        yield from (key, f"{key}_ci_low", f"{key}_ci_high")


def detail_path(stage: str) -> Path:
    """Give the path of the file that holds every number of a stage."""
    return DETAIL_FOLDER / f"{stage}.json"


def read_metrics(path: Path) -> dict[str, Any]:
    """Read one metrics file, without its `schema_version`.

    Raises:
        InputError: the file is missing, it is not a JSON object, or its keys have another version.
    """
    if not path.exists():
        raise InputError(f"{path}: not there; run the stage {path.stem}")
    metrics = read_json(path)
    if not isinstance(metrics, dict):
        raise InputError(f"{path}: must hold numbers by name, not {type(metrics).__name__}")
    version = metrics.pop("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version = {version}, must be {SCHEMA_VERSION}; "
            f"run the stage {path.stem}"
        )
    return metrics
