"""Whether `measure` finds what the stage `predict` found, given the same latents and settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mimi_dynamics.evidence.gains import STACK
from mimi_dynamics.measurement.efforts import EFFORTS
from mimi_dynamics.measurement.measurement import Measurement, measure_prepared
from mimi_dynamics.measurement.preparing import prepare
from mimi_dynamics.own_latents.reading import read_source
from mimi_dynamics.pipeline.files import SIGNIFICANT_DIGITS
from mimi_dynamics.pipeline.params import Params

ENDS = ("", "_ci_low", "_ci_high")
GAINS = [f"{name}_nats_per_dim{end}" for name in ("gain", "dynamic_gain") for end in ENDS]


def measured_as_predict(latents: Path, params: Params) -> Measurement:
    """Measure the latents of the pipeline by the settings of its stage `predict`."""
    prepared = prepare(read_source(latents), seed=params.seed, components=params.latents.dim)
    effort = replace(EFFORTS["standard"], settings=params.predict, controls=("white_noise",))
    return measure_prepared(prepared, "standard", effort, [params.horizon], params.seed)


def rounded(value: float) -> float:
    """A number as metrics files have it."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def check_agreement(found: Measurement, predicted: dict[str, Any]) -> None:
    """Every number that both have is the same, to the last digit that is written.

    Args:
        found: the measurement.
        predicted: the contents of metrics/detail/predict.json.
    """
    of = found.to_dict()
    assert of["head"] == predicted["best_head"]
    (nearest,) = of["horizons"].values()
    pairs = {key: (nearest[key], predicted[key]) for key in (*GAINS, "frames")}
    pairs["r2"] = nearest["r2"], predicted["r2_one_step"]
    for end in ENDS:
        of_shuffled = predicted["surrogates"]["shuffled"][f"gain_nats_per_dim{end}"]
        pairs[f"shuffled{end}"] = nearest[f"shuffled_gain_nats_per_dim{end}"], of_shuffled
    for key, value in predicted["calibration"][of["head"]].items():
        pairs[f"calibration.{key}"] = of["calibration"][key], value
    for name, part in predicted["learning_curve"].items():
        if isinstance(part, dict):
            for key, value in part.items():
                pairs[f"{name}.{key}"] = of["learning_curve"][name][key], value
        else:
            pairs[name] = of["learning_curve"][name], part
    for name, weight in predicted["weights"].items():
        pairs[f"{STACK}.{name}"] = of["weights"][name], weight
    if "test_voice" in predicted:
        for key in GAINS:
            pairs[f"test_voice.{key}"] = nearest["test_voice"][key], predicted["test_voice"][key]
    differ = {key: pair for key, pair in pairs.items() if rounded(pair[0]) != pair[1]}
    assert not differ
    assert len(pairs) > 40
