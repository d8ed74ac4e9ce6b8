"""Train mimi-mini on read speech, and measure it on recordings and on a voice it never heard.

    torchrun --nproc-per-node 2 src/codec.py     (one process a core; the stage is frozen)

Reads the speech corpora named in `codec.mini.corpora` and, if they have some of the legs of
`codec.mini.legs`, the weights to go on from. Processes of one thread each share every batch.
Writes models/mimi-mini.safetensors, metrics/codec.json, metrics/detail/codec.json and
plots/codec_training.csv, the log of the legs trained now.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.codec.mimi_mini import MINI_WEIGHTS
from mimi_dynamics.pipeline.devices import device_of
from mimi_dynamics.pipeline.distributed import is_main_process, main_process_first
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.codec.evaluation import evaluate_codec
from mimi_dynamics.studies.codec.legs import train_legs
from mimi_dynamics.studies.codec.speech import join_speech, training_speech

SCRATCH = Path("runs/codec")  # Audio and checkpoints; git and DVC ignore this folder.


def codec(params: Params) -> None:
    """Run the stage: train the codec, then write its weights, its training log and its metrics."""
    mini = params.codec.mini
    speech = main_process_first(lambda: training_speech(params.ingest, mini, SCRATCH))
    train = join_speech(speech[speech["split"] == "train"])
    log = train_legs(mini, train, SCRATCH, device=device_of(params.compute))
    if is_main_process():
        write_table(Path("plots/codec_training.csv"), pd.DataFrame(log))
        trained = load_codec(params.codec.model_copy(update={"name": "mimi-mini"}))
        metrics = evaluate_codec(trained, speech, mini.bins)
        metrics["weights_bytes"] = MINI_WEIGHTS.stat().st_size
        write_stage_metrics("codec", metrics)


if __name__ == "__main__":
    run_stage(codec, shared=True)
