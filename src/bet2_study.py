"""Bet 2: is a factorised state easier to predict than the best of its rivals?

Trains states of several sizes and budgets, chooses one on validation, and compares it over several
trainings with the rival that is easiest on validation among those that keep as much of the latents,
raw latents among them: each beyond what it shows on shuffled frames.

    python src/bet2_study.py     (`make studies` runs it; the stage is frozen for `dvc repro`)

Reads data/latents/, data/manifest.parquet and models/normalizer.safetensors.
Writes metrics/detail/bet2_study.json.
"""

from pathlib import Path

import pandas as pd
import torch

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import bet_settings, origin_of_run, write_study
from mimi_dynamics.studies.rssm.bet import SECTIONS, bet_metrics, find_evidence


def bet2_study(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    latents, normalizer, data = load(params)
    origin = origin_of_run(latents.info["weights_sha256"], manifest)
    evidence = find_evidence(params, data, torch.from_numpy(normalizer.scale).float())
    settings = bet_settings(params, SECTIONS)
    write_study("bet2_study", bet_metrics(evidence), settings, origin)


if __name__ == "__main__":
    run_stage(bet2_study)
