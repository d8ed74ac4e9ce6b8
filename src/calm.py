"""Does the factorised pipeline beat a small CALM, on quality or on cost?

Trains a small CALM and the dynamics of z_dyn on the same latents, with as many parameters, and
scores free-running continuations of both beside the plain predictor, a linear model and floors.

    python src/calm.py           (or: dvc repro calm)

Reads data/latents/, models/normalizer.safetensors, models/horizons/, models/rssm.safetensors,
metrics/detail/rssm.json and the codec.
Writes its metrics, models/calm.safetensors, plots/calm.csv, plots/calm_cost.csv,
plots/calm_windows.csv, plots/calm_training.csv, plots/calm_study.csv, and data/calm/: continuations
to listen to, and their spectrograms.
"""

from pathlib import Path

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.generation.sounds import make_decoder, write_sounds
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import detail_path, read_metrics, write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.calm.comparison import Comparison, Factorisation, compare, cost_curves
from mimi_dynamics.studies.calm.cost import CostCurve
from mimi_dynamics.studies.calm.decoding import decode_contenders, listen
from mimi_dynamics.studies.calm.metrics import calm_metrics, cost_table, skill_table, window_table
from mimi_dynamics.studies.calm.model import save_calm
from mimi_dynamics.studies.calm.samples import Drawn, draw_splits
from mimi_dynamics.studies.calm.study import course_table, run_study, study_metrics
from mimi_dynamics.studies.rssm.training import load_rssm

SOUNDS_TITLE = "Up to the line what was said; after it, what each model makes up"
PREDICTOR = Path("models/horizons/k1.safetensors")
RSSM = Path("models/rssm.safetensors")


def calm(params: Params) -> None:
    """Run the stage."""
    factorisation = read_factorisation()
    if not PREDICTOR.exists():
        raise InputError(f"{PREDICTOR}: not there; run the stage horizon with 1 among horizons")
    latents, normalizer, data = load(params)
    comparison = compare(params, data, factorisation, PREDICTOR)
    study = run_study(comparison, factorisation)
    drawn, curves = draw_splits(comparison), cost_curves(comparison)

    decode = make_decoder(load_codec(params.codec), normalizer)
    heard = decode_contenders(comparison, drawn["test"], decode)
    metrics = calm_metrics(comparison, drawn, curves, heard) | study_metrics(study)
    write_stage_metrics("calm", metrics)
    write_plots(comparison, drawn, curves, metrics)
    write_table(Path("plots/calm_study.csv"), study)
    chosen = comparison.trained["calm"][0]
    save_calm(chosen.generator.step, chosen.shape, Path("models/calm.safetensors"))
    names = latents.clip_ids[latents.splits == "test"]
    write_sounds(listen(comparison, names, decode), SOUNDS_TITLE, Path("data/calm"))


def read_factorisation() -> Factorisation:
    """What stage `rssm` chose, and the budget it was trained for.

    Raises:
        InputError: it is not there, or its state is not updated at every frame.
    """
    if not RSSM.exists():
        raise InputError(f"{RSSM}: not there; run the stage rssm")
    model = load_rssm(RSSM)
    stride = model.shape.state_stride
    if stride != 1:
        raise InputError(f"rssm.state_stride = {stride}: must be 1 for the stage calm")
    return Factorisation(model, read_metrics(detail_path("rssm"))["budget_nats_per_frame"])


def write_plots(
    comparison: Comparison,
    drawn: dict[str, Drawn],
    curves: dict[str, CostCurve],
    metrics: dict[str, object],
) -> None:
    """Skill, cost, distances of windows and the course of training, as CSV."""
    write_table(Path("plots/calm.csv"), skill_table(drawn))
    write_table(Path("plots/calm_cost.csv"), cost_table(curves, comparison))
    write_table(Path("plots/calm_windows.csv"), window_table(metrics))
    write_table(Path("plots/calm_training.csv"), course_table(comparison))


if __name__ == "__main__":
    run_stage(calm)
