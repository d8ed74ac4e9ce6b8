"""Is there an easy state for any size of it, and any budget of the innovation?

Trains and measures a model for each of them as stage `rssm` does, and sets it beside cheap rivals.

    python src/rssm_sweep.py     (by make studies; DVC leaves this stage as it is)

Reads data/latents/, models/normalizer.safetensors and the codec.
Writes metrics/detail/rssm_sweep.json, plots/rssm_sweep.csv and plots/rssm_sweep.png.
"""

from pathlib import Path

from mimi_dynamics.figures.rssm import rssm_figure
from mimi_dynamics.latents.normalizer import load_normalizer
from mimi_dynamics.latents.store import read_latents
from mimi_dynamics.pipeline.files import write_text
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import study_settings, write_study
from mimi_dynamics.studies.rssm.metrics import course_table, frontier_table
from mimi_dynamics.studies.rssm.run import SECTIONS, run_rssm, with_models


def rssm_sweep(params: Params) -> None:
    """Run the study."""
    params = with_models(params, params.rssm_sweep)
    latents = read_latents(Path("data/latents"))
    normalizer = load_normalizer(Path("models/normalizer.safetensors"))
    sweep, chosen, metrics = run_rssm(params, latents, normalizer)
    write_study("rssm_sweep", metrics, study_settings(params, (*SECTIONS, "rssm_sweep")))
    points, course = frontier_table(sweep, chosen), course_table(sweep)
    write_text(Path("plots/rssm_sweep.csv"), points.to_csv(index=False, float_format="%.6g"))
    title = "Is there a state that is easier to predict than x, at what it keeps of x?"
    save_figure(rssm_figure(points, course, title), Path("plots/rssm_sweep.png"))


if __name__ == "__main__":
    run_stage(rssm_sweep)
