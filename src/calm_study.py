"""How much is each stabiliser of CALM and of our pipeline worth, and how do both scale?

Trains CALM and the dynamics of z_dyn several times each, and compares them as stage `calm` does.
Then trains them again: without each of their stabilisers in turn, at three sizes, and on three
amounts of data.

    make studies                 (or: python src/calm_study.py, then dvc commit -f calm_study)

The stage is frozen, so `dvc repro` does not run it again and keeps its committed results.
It takes about half an hour on two cores.
Reads data/latents/, models/normalizer.safetensors, models/horizons/, models/rssm.safetensors,
metrics/detail/rssm.json and the codec.
Writes metrics/detail/calm_study.json and plots/calm_study.csv.
"""

from pathlib import Path

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.generation.continuations import make_decoder
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.files import require_predictor, write_table
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import study_settings, write_study
from mimi_dynamics.studies.calm.comparison import compare, cost_curves
from mimi_dynamics.studies.calm.decoding import decode_contenders
from mimi_dynamics.studies.calm.inputs import read_factorisation
from mimi_dynamics.studies.calm.metrics import calm_metrics
from mimi_dynamics.studies.calm.samples import draw_splits
from mimi_dynamics.studies.calm.study import SECTIONS, run_study, study_metrics, study_params


def calm_study(params: Params) -> None:
    """Run the study."""
    params = study_params(params)
    factorisation, predictor = read_factorisation(), require_predictor(NEXT_FRAME)
    _, normalizer, data = load(params)
    decode = make_decoder(load_codec(params.codec, params.compute), normalizer)

    comparison = compare(params, data, factorisation, predictor)
    table = run_study(comparison, factorisation)
    drawn, curves = draw_splits(comparison), cost_curves(comparison)
    heard = decode_contenders(comparison, drawn["test"], decode)
    metrics = calm_metrics(comparison, drawn, curves, heard) | study_metrics(table)
    write_study("calm_study", metrics, study_settings(params, SECTIONS))
    write_table(Path("plots/calm_study.csv"), table)


if __name__ == "__main__":
    run_stage(calm_study)
