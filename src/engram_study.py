"""Does a lookup memory help, by more trainings, and with more and more of a model in its tables?

Trains predictors as stage `engram` does, and on the state z_dyn also models of one size with
different shares of their parameters in tables.

    python src/engram_study.py   (by make studies; DVC leaves this stage as it is)

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
