"""Does the factorised pipeline beat a small CALM, on quality or on cost?

Trains a small CALM and the dynamics of z_dyn on the same latents, with as many parameters, and
scores free-running continuations of both beside the plain predictor, a linear model and floors.

    python src/calm.py           (or: dvc repro calm)

Reads data/latents/, models/normalizer.safetensors, models/horizons/, models/rssm.safetensors,
metrics/rssm.json and the codec.
Writes metrics/calm.json, models/calm.safetensors, plots/calm.png, plots/calm.csv,
plots/calm_cost.csv, plots/calm_training.csv, and data/calm/: continuations to listen to, and their
spectrograms. Ablations and scaling are a study of their own, src/calm_study.py.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.mimi import load_codec
from mimi_dynamics.figures.calm import calm_figure
from mimi_dynamics.generation.sounds import make_decoder, write_sounds
from mimi_dynamics.latents.normalizer import load_normalizer, normalized_sequences
from mimi_dynamics.latents.store import read_latents
from mimi_dynamics.pipeline.files import write_metrics, write_text
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.calm.comparison import Comparison, compare, cost_curves
from mimi_dynamics.studies.calm.cost import CostCurve
from mimi_dynamics.studies.calm.decoding import decode_contenders, listen
from mimi_dynamics.studies.calm.inputs import (
    LATENTS,
    NORMALIZER,
    read_factorisation,
    require_predictor,
)
from mimi_dynamics.studies.calm.metrics import (
    calm_metrics,
    cost_table,
    course_table,
    skill_table,
    window_table,
)
from mimi_dynamics.studies.calm.model import save_calm
from mimi_dynamics.studies.calm.samples import Drawn, draw_splits

SOUNDS_TITLE = "Up to the line what was said; after it, what each model makes up"


def calm(params: Params) -> None:
    """Run the stage."""
    factorisation, predictor = read_factorisation(), require_predictor()
    latents = read_latents(LATENTS)
    normalizer = load_normalizer(NORMALIZER)
    data = normalized_sequences(latents, normalizer, params.latents.voiced_range_db)
    comparison = compare(params, data, factorisation, predictor)
    drawn, curves = draw_splits(comparison), cost_curves(comparison)

    decode = make_decoder(load_codec(params.codec), normalizer)
    heard = decode_contenders(comparison, drawn["test"], decode)
    metrics = calm_metrics(comparison, drawn, curves, heard)
    write_metrics(Path("metrics/calm.json"), metrics)
    write_plots(comparison, drawn, curves, metrics)
    chosen = comparison.trained["calm"][0]
    save_calm(chosen.generator.step, chosen.shape, Path("models/calm.safetensors"))
    names = latents.clip_ids[latents.splits == "test"]
    write_sounds(listen(comparison, names, decode), SOUNDS_TITLE, Path("data/calm"))


def write_plots(
    comparison: Comparison,
    drawn: dict[str, Drawn],
    curves: dict[str, CostCurve],
    metrics: dict[str, object],
) -> None:
    """Skill, cost and the course of training as CSV, and the figure."""
    skill, cost = skill_table(drawn), cost_table(curves, comparison)
    write_table(skill, Path("plots/calm.csv"))
    write_table(cost, Path("plots/calm_cost.csv"))
    write_table(course_table(comparison), Path("plots/calm_training.csv"))
    figure = calm_figure(skill[skill["split"] == "test"], cost, window_table(metrics))
    save_figure(figure, Path("plots/calm.png"))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """As CSV."""
    write_text(path, table.to_csv(index=False, float_format="%.6g"))


if __name__ == "__main__":
    run_stage(calm)
