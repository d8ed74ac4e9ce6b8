"""Compare mimi-mini after each of its legs, and before the first, on held-out speech.

    PYTHONPATH=src .venv/bin/python benchmarks/codec_legs.py

Measures every file of models/checkpoints/ and models/mimi-mini.safetensors as the stage `codec`
does, on held-out clips of all corpora of `codec.mini`, and the codec's shape untrained. Prints a
table in Markdown: how many clips of `codec.mini.clip_frames` frames were heard in all legs so far,
and distances in nepers after the quantiser and without it.
"""

import math
from pathlib import Path

import pandas as pd

from mimi_dynamics.codec import mimi_mini
from mimi_dynamics.codec.base import Codec
from mimi_dynamics.pipeline.params import LegParams, Params, load_params
from mimi_dynamics.studies.codec.evaluation import evaluate_codec
from mimi_dynamics.studies.codec.speech import training_speech

CHECKPOINTS = Path("models/checkpoints")
SCRATCH = Path("runs/codec")
COLUMNS = {
    "log-mel, quantised": "test.log_mel_quantized",
    "not quantised": "test.log_mel_unquantized",
    "held-out voice": "test_voice.log_mel_quantized",
    "validation": "validation.log_mel_quantized",
    "voicing agrees": "test.pitch_voicing_agreement_quantized",
    "pitch error, cents": "test.pitch_error_cents_quantized",
}


def main() -> None:
    """Print the table."""
    params = load_params()
    speech = training_speech(params.ingest, params.codec.mini, SCRATCH)
    print("| weights | legs | clips heard | " + " | ".join(COLUMNS) + " |")
    print("|---" * (3 + len(COLUMNS)) + "|")
    print(row("untrained", [], mimi_mini.untrained(params.codec), speech, params), flush=True)
    for path in [*sorted(CHECKPOINTS.glob("*.safetensors")), mimi_mini.MINI_WEIGHTS]:
        legs = [LegParams(**leg) for leg in mimi_mini.read_mini(path)[1]["params"]["legs"]]
        print(row(path.stem, legs, load(path, legs, params), speech, params), flush=True)


def load(path: Path, legs: list[LegParams], params: Params) -> Codec:
    """Load weights that have had only some of the legs of the settings."""
    mini = params.codec.mini.model_copy(update={"legs": legs})
    return mimi_mini.load(params.codec.model_copy(update={"mini": mini}), path)


def row(
    name: str, legs: list[LegParams], codec: Codec, speech: pd.DataFrame, params: Params
) -> str:
    """Measure one codec and write its line of the table."""
    metrics = evaluate_codec(codec, speech, params.codec.mini.bins)
    keys = (of.split(".") for of in COLUMNS.values())
    found = [metrics[split].get(key, math.nan) for split, key in keys]
    heard = sum(leg.steps * leg.batch_clips for leg in legs)
    return f"| {name} | {len(legs)} | {heard} | " + " | ".join(f"{x:.3f}" for x in found) + " |"


if __name__ == "__main__":
    main()
