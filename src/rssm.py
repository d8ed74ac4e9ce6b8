"""Is there a state that is easier to model than the latents, and not because it is empty?

Takes latents apart into a causal state z_dyn and a local innovation z_rec under a budget, for every
budget, and sets ease of the state against what is left in it, beside cheap rivals.

    python src/rssm.py           (or: dvc repro rssm)

Reads data/latents/, models/normalizer.safetensors and the codec.
Writes models/rssm.safetensors, data/states/, its metrics, plots/rssm.csv and
plots/rssm_training.csv.
"""

from pathlib import Path

from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.states import write_states
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.rssm.metrics import course_table, frontier_table
from mimi_dynamics.studies.rssm.run import run_rssm
from mimi_dynamics.studies.rssm.sweep import Sweep
from mimi_dynamics.studies.rssm.training import encode_states, save_rssm


def rssm(params: Params) -> None:
    """Run the stage."""
    latents, normalizer, data = load(params)
    sweep, chosen, metrics = run_rssm(params, data, normalizer)
    write_stage_metrics("rssm", metrics)
    write_plots(sweep, chosen)
    write_model(sweep, chosen, latents)


def write_plots(sweep: Sweep, chosen: str) -> None:
    """The frontier and the course of every budget, as CSV."""
    write_table(Path("plots/rssm.csv"), frontier_table(sweep, chosen))
    write_table(Path("plots/rssm_training.csv"), course_table(sweep))


def write_model(sweep: Sweep, chosen: str, latents: Latents) -> None:
    """The chosen model, and its state at every frame of every clip, held between updates."""
    model = sweep.trained[chosen].model
    save_rssm(model, Path("models/rssm.safetensors"))
    states = sweep.held_states(encode_states(model, sweep.data))
    write_states(Path("data/states"), latents, states.numpy())


if __name__ == "__main__":
    run_stage(rssm)
