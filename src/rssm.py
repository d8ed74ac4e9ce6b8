"""Is there a state that is easier to model than the latents, and not because it is empty?

Takes latents apart into a causal state z_dyn and a local innovation z_rec under a budget, for every
budget, and sets ease of the state against what is left in it, beside cheap rivals.

    python src/rssm.py           (or: dvc repro rssm)

Reads data/latents/, models/normalizer.safetensors and the codec.
Writes models/rssm.safetensors, data/states/, metrics/rssm.json, plots/rssm.csv, plots/rssm.png and
plots/rssm_training.csv.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.figures.rssm import rssm_figure
from mimi_dynamics.latents.normalizer import load_normalizer
from mimi_dynamics.latents.states import write_states
from mimi_dynamics.latents.store import Latents, read_latents
from mimi_dynamics.pipeline.files import write_metrics, write_text
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.rssm.metrics import course_table, frontier_table
from mimi_dynamics.studies.rssm.run import run_rssm
from mimi_dynamics.studies.rssm.sweep import Sweep
from mimi_dynamics.studies.rssm.training import encode_states, save_rssm


def rssm(params: Params) -> None:
    """Run the stage."""
    latents = read_latents(Path("data/latents"))
    normalizer = load_normalizer(Path("models/normalizer.safetensors"))
    sweep, chosen, metrics = run_rssm(params, latents, normalizer)
    write_metrics(Path("metrics/rssm.json"), metrics)
    write_plots(sweep, chosen)
    write_model(sweep, chosen, latents)


def write_plots(sweep: Sweep, chosen: str) -> None:
    """The frontier and the course of every budget, as CSV and as a figure."""
    points, course = frontier_table(sweep, chosen), course_table(sweep)
    write_table(points, Path("plots/rssm.csv"))
    write_table(course, Path("plots/rssm_training.csv"))
    title = "Is there a state that is easier to predict than x, at what it keeps of x?"
    save_figure(rssm_figure(points, course, title), Path("plots/rssm.png"))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """As CSV."""
    write_text(path, table.to_csv(index=False, float_format="%.6g"))


def write_model(sweep: Sweep, chosen: str, latents: Latents) -> None:
    """The chosen model, and its state at every frame of every clip, held between updates."""
    model = sweep.trained[chosen].model
    save_rssm(model, Path("models/rssm.safetensors"))
    states = sweep.held_states(encode_states(model, sweep.data))
    write_states(Path("data/states"), latents, states.numpy())


if __name__ == "__main__":
    run_stage(rssm)
