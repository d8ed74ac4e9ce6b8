"""How many bits does a model of the past save on the codes that the codec gives?

People send and model codes rather than latents. This stage compares the nominal rate of the run's
codec with the cross-entropy of held-out codes: under the frequencies of each codebook, under a
small model of the codes of one frame, and under the same model that knows all frames before.

    python src/codes.py          (or: dvc repro codes)

Reads data/latents/ and the codec.
Writes metrics/codes.json, metrics/detail/codes.json and plots/codes.csv.
"""

import sys
from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.evidence.gains import clip_bootstrap
from mimi_dynamics.latents.loading import LATENTS, on_disk
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import Metrics, write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.codes.data import make_code_data
from mimi_dynamics.studies.codes.fits import fit_all
from mimi_dynamics.studies.codes.study import COLUMNS, by_codebook, split_metrics


def codes(params: Params) -> None:
    """Run the stage."""
    metrics, table = measure(params)
    write_stage_metrics("codes", metrics)
    write_table(Path("plots/codes.csv"), table)


def measure(params: Params) -> tuple[Metrics, pd.DataFrame]:
    """Give all metrics, and the bits by codebook on the test split; both empty without codes.

    Raises:
        InputError: stage `encode` has not run, or its latents are not usable.
    """
    latents = on_disk(LATENTS)
    if not latents.codes.shape[1]:
        print(f"codes: {latents.info['codec']} has none, so no bits are counted", file=sys.stderr)
        return {}, pd.DataFrame(columns=list(COLUMNS))
    data = make_code_data(latents, load_codec(params.codec).bins, params)
    scores = fit_all(data, params)
    draws = params.predict.bootstrap_samples
    bootstraps = {
        split: clip_bootstrap(data.sequences, split, draws, params.seed)
        for split in evaluated_splits(data.sequences)
    }
    frame_rate = latents.info["frame_rate"]
    tables = {
        split: split_metrics(scores, data, split, bootstrap, frame_rate)
        for split, bootstrap in bootstraps.items()
    }
    return {**tables.pop("test"), **tables}, by_codebook(scores, data, "test", bootstraps["test"])


if __name__ == "__main__":
    run_stage(codes)
