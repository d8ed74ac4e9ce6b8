"""Does a lookup memory help when trained more often, or with more of the model in its tables?

Trains predictors as stage `engram` does, but repeats each training more often, with other seeds.
On the state z_dyn it also trains models that all have the same size but different shares of their
parameters in tables.

    python src/engram_study.py   (`make studies` runs it; the stage is frozen for `dvc repro`)

Reads data/latents/, data/states/ and models/normalizer.safetensors.
Writes metrics/detail/engram_study.json.
"""

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import study_settings, write_study
from mimi_dynamics.studies.engram.comparison import SECTIONS, compare, study_params
from mimi_dynamics.studies.engram.subjects import make_subjects


def engram_study(params: Params) -> None:
    """Run the study."""
    params = study_params(params)
    latents, _, data = load(params)
    subjects = make_subjects(params, latents, data)
    metrics = compare(params, subjects, params.engram_study.table_shares)
    write_study("engram_study", metrics, study_settings(params, SECTIONS))


if __name__ == "__main__":
    run_stage(engram_study)
