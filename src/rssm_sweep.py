"""Is there an easy state at any size of the state and any budget of the innovation?

Trains and measures one model for each pair of size and budget as stage `rssm` does, and compares
them with cheap rivals.

    python src/rssm_sweep.py     (`make studies` runs it; the stage is frozen for `dvc repro`)

Reads data/manifest.parquet, data/latents/, models/normalizer.safetensors and the codec.
Writes metrics/detail/rssm_sweep.json, plots/rssm_sweep.csv and plots/rssm_sweep.png.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.figures.rssm import rssm_figure
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import require, write_table
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import origin_of_run, study_settings, write_study
from mimi_dynamics.studies.rssm.metrics import course_table, frontier_table
from mimi_dynamics.studies.rssm.run import SECTIONS, run_rssm, with_models


def rssm_sweep(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    params = with_models(params, params.rssm_sweep)
    latents, normalizer, data = load(params)
    sweep, chosen, metrics = run_rssm(params, data, normalizer)
    settings = study_settings(params, (*SECTIONS, "rssm_sweep"))
    origin = origin_of_run(latents.info["weights_sha256"], manifest)
    write_study("rssm_sweep", metrics, settings, origin)
    points = frontier_table(sweep, chosen)
    write_table(Path("plots/rssm_sweep.csv"), points)
    save_figure(rssm_figure(points, course_table(sweep)), Path("plots/rssm_sweep.png"))


if __name__ == "__main__":
    run_stage(rssm_sweep)
