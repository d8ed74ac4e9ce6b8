"""Train mimi-mini on read speech, and measure it on recordings and on a voice it never heard.

    python src/codec.py          (the stage is frozen, so `dvc repro` does not run it)

Reads the speech corpora named in `codec.mini.corpora`.
Writes models/mimi-mini.safetensors, metrics/codec.json, metrics/detail/codec.json and
plots/codec_training.csv.
"""

from pathlib import Path

import pandas as pd
import torch

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.codec.mimi_mini import MINI_WEIGHTS, save_mini
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.codec.evaluation import evaluate_codec
from mimi_dynamics.studies.codec.training import join_speech, train_codec, training_speech

SCRATCH = Path("runs/codec")  # Audio and checkpoints; git and DVC ignore this folder.


def codec(params: Params) -> None:
    """Run the stage: train the codec, then write its weights, its training log and its metrics."""
    torch.set_num_threads(available_cores())  # One model learns, and nothing else runs beside it.
    speech = training_speech(params.ingest, params.codec.mini, SCRATCH)
    train = join_speech(speech[speech["split"] == "train"])
    training = train_codec(params.codec.mini, train, SCRATCH)
    save_mini(training.model, params.codec.mini)
    write_table(Path("plots/codec_training.csv"), pd.DataFrame(training.log))
    mini = load_codec(params.codec.model_copy(update={"name": "mimi-mini"}))
    metrics = evaluate_codec(mini, speech, params.codec.mini.bins)
    metrics["weights_bytes"] = MINI_WEIGHTS.stat().st_size
    write_stage_metrics("codec", metrics)


if __name__ == "__main__":
    run_stage(codec)
