"""Is a state easier to predict if it is updated only at every other frame?

Trains and measures its models as stage `rssm` does, and compares them with rivals that are updated
at the same rate.

    python src/rssm_slow.py      (`make studies` runs it; the stage is frozen for `dvc repro`)

Reads data/manifest.parquet, data/latents/, models/normalizer.safetensors and the codec.
Writes metrics/detail/rssm_slow.json.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import origin_of_run, study_settings, write_study
from mimi_dynamics.studies.rssm.run import SECTIONS, run_rssm, with_models


def rssm_slow(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    params = with_models(params, params.rssm_slow)
    latents, normalizer, data = load(params)
    _, _, metrics = run_rssm(params, data, normalizer)
    settings = study_settings(params, (*SECTIONS, "rssm_slow"))
    origin = origin_of_run(latents.info["weights_sha256"], manifest)
    write_study("rssm_slow", metrics, settings, origin)


if __name__ == "__main__":
    run_stage(rssm_slow)
