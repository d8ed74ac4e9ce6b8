"""Is our pipeline better than CALM, or as good and cheaper, at equal size and equal training?

Trains CALM by consistency, as in its first paper, and by Lagrangian self-distillation, after the
way in which its authors train it now; and the dynamics of z_dyn, which pass through the state of
the stage `rssm`: several times each, with equally many parameters and operations of training. The
recipe, the steps and the noise of CALM are chosen on validation. Scored are one and two frames
ahead, free-running; self-distillation without adaptive weight, the plain predictor and the linear
model are rows beside them.

    python src/bet4_study.py

It takes half an hour of a core, and `dvc repro` does not run it. It keeps its trainings in
runs/bet4_study/, where a run that was stopped goes on; after a change of the code that trains,
remove that folder.
Reads data/manifest.parquet, data/latents/, models/normalizer.safetensors, models/rssm.safetensors
and metrics/detail/rssm.json.
Writes metrics/detail/bet4_study.json, by which bet 4 is judged.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import bet_settings, folder_of, origin_of_run, write_study
from mimi_dynamics.studies.calm.bet import SECTIONS, bet_params
from mimi_dynamics.studies.calm.bet_metrics import run_bet
from mimi_dynamics.studies.calm.contenders import contender_jobs
from mimi_dynamics.studies.calm.inputs import read_factorisation

KEPT = Path("runs/bet4_study")


def bet4_study(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    factorisation = read_factorisation()
    latents, _, data = load(params)
    settings = bet_settings(params, SECTIONS)
    origin = origin_of_run(latents.info["weights_sha256"], manifest)
    params = bet_params(params)
    jobs = contender_jobs(params, data, factorisation)
    folder = folder_of(KEPT, origin | settings | factorisation.choice)
    metrics = run_bet(params, data, jobs, folder)
    write_study("bet4_study", metrics, settings, origin)


if __name__ == "__main__":
    run_stage(bet4_study)
