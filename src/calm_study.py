"""How much is each stabiliser of CALM and of our pipeline worth, and how do both scale?

Trains the contenders of bet 4 as `bet4_study` does, several times each, and then once without each
of their stabilisers in turn; and CALM, ours and the plain predictor at three sizes on three amounts
of data. Scored are one and two frames ahead, as in bet 4.

    python src/calm_study.py

It takes an hour and a half of a core, and `dvc repro` does not run it. It keeps its trainings in
runs/calm_study/, where a run that was stopped goes on; after a change of the code that trains,
remove that folder.
Reads data/manifest.parquet, data/latents/, models/normalizer.safetensors, models/rssm.safetensors
and metrics/detail/rssm.json.
Writes metrics/detail/calm_study.json and plots/calm_study.csv.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import require, write_table
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import bet_settings, folder_of, origin_of_run, write_study
from mimi_dynamics.studies.calm.bet import choose_sampling, judged_by
from mimi_dynamics.studies.calm.contenders import JUDGED, contender_jobs, train_contenders
from mimi_dynamics.studies.calm.inputs import read_factorisation
from mimi_dynamics.studies.calm.study import (
    SECTIONS,
    Variant,
    ablation,
    scaling,
    study_params,
    train_variants,
)
from mimi_dynamics.studies.calm.study_metrics import (
    ablation_metrics,
    per_doubling,
    score_variants,
    study_table,
)

KEPT = Path("runs/calm_study")


def calm_study(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    factorisation = read_factorisation()
    latents, _, data = load(params)
    settings = bet_settings(params, SECTIONS)
    origin = origin_of_run(latents.info["weights_sha256"], manifest)
    params = study_params(params)

    folder = folder_of(KEPT, origin | settings | factorisation.choice)
    jobs = contender_jobs(params, data, factorisation, JUDGED)
    first = {row: of[0] for row, of in jobs.items()}
    trained = train_contenders(params, jobs, folder)
    ways = choose_sampling(params, data, trained)
    judged = judged_by(ways)
    others = ablation(params, first) | scaling(params, data, factorisation, judged)
    changed = train_variants(others, folder, params)
    ways |= choose_sampling(params, data, changed)

    variants = [*(Variant(row) for row in trained), *others]
    scored, spreads = score_variants(params, data, variants, trained | changed, ways)
    table = study_table(scored)
    metrics = {
        "ablation": ablation_metrics(table),
        "per_doubling": per_doubling(scored, judged),
        "judged": judged,
        "training_sd": {row: spread.sd for row, spread in spreads.items()},
        "trainings": params.calm.seeds,
    }
    write_study("calm_study", metrics, settings, origin)
    write_table(Path("plots/calm_study.csv"), table)


if __name__ == "__main__":
    run_stage(calm_study)
