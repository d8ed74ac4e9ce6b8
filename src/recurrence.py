"""Does looking up similar moments predict? For every key and metric, what came after them.

Every frame has a key, which is computed from its past. For each frame of the test clips, this
stage finds the train frames with the most similar keys, and takes the frame that came after each of
them as the forecast.

    python src/recurrence.py     (or: dvc repro recurrence)

Reads data/latents/, models/normalizer.safetensors and models/horizons/k1.safetensors.
Writes metrics/detail/recurrence.json and plots/recurrence.csv.
"""

from pathlib import Path

import numpy as np
import torch

from mimi_dynamics.density.predictor import Predictor, load_predictor
from mimi_dynamics.evidence.gains import clip_bootstrap
from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.files import require_predictor, write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import say_without
from mimi_dynamics.studies.recurrence.keys import KeyData
from mimi_dynamics.studies.recurrence.study import best_lookup, curves, look_up_all, split_metrics


def recurrence(params: Params) -> None:
    """Run the stage."""
    data, predictor = read_key_data(params), read_predictor()
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
        "horizon_frames": NEXT_FRAME,
        "dim": data.sequences.dim,
        "frames": len(yardstick["test"].clip),
        **tables.pop("test"),
        **tables,
    }
    write_stage_metrics("recurrence", metrics)
    table = curves(lookups, yardstick["test"], bootstraps["test"])
    write_table(Path("plots/recurrence.csv"), table)


def read_key_data(params: Params) -> KeyData:
    """Read what the stages `encode` and `normalize` wrote, in the form that keys are made from.

    Raises:
        InputError: stage `encode` or `normalize` has not run, or its latents are not usable.
    """
    latents, normalizer, sequences = load(params)
    data = KeyData(
        sequences=sequences,
        codes=first_codes(latents),
        scale=torch.from_numpy(normalizer.scale).float(),
        horizon=NEXT_FRAME,
        warmup_frames=params.predict.warmup_frames,
        var_order=params.predict.var_order,
        lr=params.recurrence.lr,
        epochs=params.recurrence.epochs,
        seed=params.seed,
    )
    return data.few_enough()


def first_codes(latents: Latents) -> torch.Tensor | None:
    """Give the (frames,) int64 codes of the first codebook; None, and say so, if there are none."""
    if not latents.codes.shape[1]:
        say_without("recurrence", "codes", "they are no key")
        return None
    return torch.from_numpy(latents.codes[:, 0].astype(np.int64))


def read_predictor() -> Predictor:
    """Read the predictor of the next frame that the stage `horizon` wrote.

    Raises:
        InputError: the file is missing.
    """
    predictor, _ = load_predictor(require_predictor(NEXT_FRAME))
    return predictor


if __name__ == "__main__":
    run_stage(recurrence)
