"""Does a lookup memory help, by a search that has been shown to find what there is to find?

Plants motifs of known worth into the state z_dyn. On these alone, by validation, chooses the rate
of the tables, their addresses, their size and the length of training; with those settings counts
how many plantings are found on test. Then trains the same memories on z_dyn and on x as they are,
beside all that they have to beat: no memory, a wider network with as many parameters, shuffled
keys, and one row of the same tables.

    make studies                 (or: python src/bet3_study.py, then dvc commit -f bet3_study)

The stage is frozen, so `dvc repro` does not run it again and keeps its committed results.
It keeps its trainings in runs/bet3_study/, where a run that was stopped goes on, and writes what it
has after each part; after a change of the code that trains, remove that folder.
Reads data/manifest.parquet, data/latents/, data/states/ and models/normalizer.safetensors.
Writes metrics/detail/bet3_study.json, by which bet 3 is judged.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import bet_settings, origin_of_run, write_study
from mimi_dynamics.studies.engram.bet import judge_memory
from mimi_dynamics.studies.engram.subjects import make_subjects

# Sections of params.yaml on which the results depend.
SECTIONS = ("bet3_study", "engram", "latents", "predict", "rssm", "seed")
KEPT = Path("runs/bet3_study")


def bet3_study(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    latents, _, data = load(params)
    subjects = make_subjects(params, latents, data)
    origin = origin_of_run(latents.info["weights_sha256"], manifest)
    settings = bet_settings(params, SECTIONS)
    for metrics in judge_memory(params, subjects, KEPT):
        write_study("bet3_study", metrics, settings, origin)


if __name__ == "__main__":
    run_stage(bet3_study)
