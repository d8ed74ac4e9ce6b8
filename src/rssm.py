"""Is there a state that is easier to model than the latents, and not just because it is empty?

Splits the latents into a causal state z_dyn and a local innovation z_rec that may carry only a
limited number of nats (the budget), and trains one model per budget. Compares how easy each state
is to predict with how much of the latents it keeps, and does the same for cheap rivals.

    python src/rssm.py           (or: dvc repro rssm)

Reads data/latents/, models/normalizer.safetensors and the codec.
Writes models/rssm.safetensors, data/states/, metrics/rssm.json, metrics/detail/rssm.json,
plots/rssm.csv and plots/rssm_training.csv.
"""

from pathlib import Path

from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.states import write_states
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import has_decoder, say_without
from mimi_dynamics.studies.rssm.metrics import course_table, frontier_table
from mimi_dynamics.studies.rssm.run import run_rssm
from mimi_dynamics.studies.rssm.sweep import Sweep
from mimi_dynamics.studies.rssm.training import encode_states, save_rssm


def rssm(params: Params) -> None:
    """Run the stage."""
    latents, normalizer, data = load(params)
    decodable = has_decoder(latents.info)
    if not decodable:
        say_without("rssm", "decoder", "how states sound is not measured")
    sweep, chosen, metrics = run_rssm(params, data, normalizer, decodable=decodable)
    write_stage_metrics("rssm", {**metrics, "trainings": 1})
    write_plots(sweep, chosen)
    write_model(sweep, chosen, latents)


def write_plots(sweep: Sweep, chosen: str) -> None:
    """Write the frontier of ease against fidelity, and the course of every training, as CSV files.

    Args:
        sweep: the trained models.
        chosen: name of the model that was chosen among them.
    """
    write_table(Path("plots/rssm.csv"), frontier_table(sweep, chosen))
    write_table(Path("plots/rssm_training.csv"), course_table(sweep))


def write_model(sweep: Sweep, chosen: str, latents: Latents) -> None:
    """Write the chosen model, and its state at every frame of every clip.

    Between two updates of the state, the frames keep the value of the last update.

    Args:
        sweep: the trained models.
        chosen: name of the model that was chosen among them.
        latents: the latents that the states belong to.
    """
    model = sweep.trained[chosen].filter
    save_rssm(model, Path("models/rssm.safetensors"))
    states = sweep.held_states(encode_states(model, sweep.data, sweep.params.compute))
    write_states(Path("data/states"), latents, states.numpy())


if __name__ == "__main__":
    run_stage(rssm)
