"""Is our pipeline better than CALM on the latents of another codec, too?

Repeats the study `bet4_study` on them. They are encoded from the clips of this run and whitened;
`latents.dim` of their components are kept. The state of ours has the size and the budget that the
stage `rssm` chose for the run's own latents; its factorisation is trained anew with every seed. No
bet is judged by the results.

    python src/bet4_other.py

It takes three quarters of an hour of a core, and `dvc repro` does not run it. It keeps its
trainings in runs/bet4_other/, where a run that was stopped goes on after encoding anew; after a
change of the code that trains, remove that folder.
Reads data/manifest.parquet, data/audio/, models/rssm.safetensors, metrics/detail/rssm.json and the
codec.
Writes metrics/detail/bet4_other.json.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import bet_settings, folder_of, origin_of_run, write_study
from mimi_dynamics.pipeline.without_audio import has_audio
from mimi_dynamics.studies.calm.bet import SECTIONS, bet_params
from mimi_dynamics.studies.calm.bet_metrics import run_bet
from mimi_dynamics.studies.calm.contenders import contender_jobs
from mimi_dynamics.studies.calm.inputs import read_factorisation
from mimi_dynamics.studies.codec_row.records import settings_of_codec
from mimi_dynamics.studies.codec_row.subjects import encode_anew

KEPT = Path("runs/bet4_other")


def bet4_other(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    if not has_audio(manifest):
        raise InputError("data/manifest.parquet: no audio, which another codec would need")
    factorisation = read_factorisation()
    codec = load_codec(params.codec.model_copy(update={"name": params.bet4_other.codec}))
    settings = bet_settings(params, (*SECTIONS, "bet4_other"))
    settings["codec"] = settings_of_codec(params.bet4_other.codec, params)
    origin = origin_of_run(codec.weights_sha256, manifest)
    params = bet_params(params)
    data = encode_anew(codec, manifest, params, KEPT / "encoded").sequences
    jobs = contender_jobs(params, data, factorisation, anew=True)
    folder = folder_of(KEPT, origin | settings | factorisation.choice)
    metrics = run_bet(params, data, jobs, folder)
    write_study("bet4_other", metrics, settings, origin)


if __name__ == "__main__":
    run_stage(bet4_other)
