"""Does the factorised pipeline beat a small CALM, on quality or on cost?

Trains a small CALM and the dynamics of z_dyn on the same latents and with equally many parameters.
Then scores free-running continuations of both, and compares them with those of the plain
predictor, of a linear model and of simple floors.

    python src/calm.py           (or: dvc repro calm)

Reads data/latents/, models/normalizer.safetensors, models/horizons/, models/rssm.safetensors,
metrics/detail/rssm.json and the codec.
Writes metrics/calm.json, metrics/detail/calm.json, models/calm.safetensors, plots/calm.csv,
plots/calm_cost.csv, plots/calm_windows.csv, plots/calm_training.csv and data/calm/, which holds
continuations to listen to and their spectrograms.
Ablations and scaling are in a separate study, src/calm_study.py.
"""

from pathlib import Path

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.generation.continuations import make_decoder
from mimi_dynamics.generation.sounds import write_sounds
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.files import require_predictor, write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import has_decoder, say_without
from mimi_dynamics.studies.calm.comparison import Comparison, compare, cost_curves
from mimi_dynamics.studies.calm.cost import CostCurve
from mimi_dynamics.studies.calm.decoding import decode_contenders, listen, nothing_heard
from mimi_dynamics.studies.calm.inputs import read_factorisation
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
    factorisation, predictor = read_factorisation(), require_predictor(NEXT_FRAME)
    latents, normalizer, data = load(params)
    comparison = compare(params, data, factorisation, predictor)
    drawn, curves = draw_splits(comparison), cost_curves(comparison)

    decode = None
    if has_decoder(latents.info):
        decode = make_decoder(load_codec(params.codec, params.compute), normalizer)
    else:
        say_without("calm", "decoder", "continuations are scored as frames, and none as sound")
    heard = decode_contenders(comparison, drawn["test"], decode) if decode else nothing_heard()
    metrics = calm_metrics(comparison, drawn, curves, heard)
    write_stage_metrics("calm", metrics)
    write_plots(comparison, drawn, curves, metrics)
    chosen = comparison.trained["calm"][0]
    save_calm(chosen.generator.step, chosen.calm_shape, Path("models/calm.safetensors"))
    names = latents.clip_ids[latents.splits == "test"]
    sounds = listen(comparison, names, decode) if decode else []
    write_sounds(sounds, SOUNDS_TITLE, Path("data/calm"))


def write_plots(
    comparison: Comparison,
    drawn: dict[str, Drawn],
    curves: dict[str, CostCurve],
    metrics: dict[str, object],
) -> None:
    """Write skill, cost, distances between windows and the course of training as CSV files.

    Args:
        comparison: the trained contenders.
        drawn: the continuations that were drawn, by split.
        curves: scores against the cost of training, by contender.
        metrics: the metrics of the stage.
    """
    write_table(Path("plots/calm.csv"), skill_table(drawn))
    write_table(Path("plots/calm_cost.csv"), cost_table(curves, comparison))
    write_table(Path("plots/calm_windows.csv"), window_table(metrics))
    write_table(Path("plots/calm_training.csv"), course_table(comparison))


if __name__ == "__main__":
    run_stage(calm)
