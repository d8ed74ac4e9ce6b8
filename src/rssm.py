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
import torch

from mimi_dynamics.codec import load_codec
from mimi_dynamics.figures import save_figure
from mimi_dynamics.files import write_metrics, write_text
from mimi_dynamics.latents import Latents, read_latents
from mimi_dynamics.normalizer import Normalizer, load_normalizer, normalized_sequences
from mimi_dynamics.parallel import one_thread_each
from mimi_dynamics.params import Params
from mimi_dynamics.rollouts import choose_starts
from mimi_dynamics.rssm.decoding import decoded_distances
from mimi_dynamics.rssm.figures import rssm_figure
from mimi_dynamics.rssm.generation import Generation, score_generation
from mimi_dynamics.rssm.metrics import (
    course_table,
    frontier_table,
    generation_metrics,
    rssm_metrics,
)
from mimi_dynamics.rssm.sweep import RAW, Sweep, run_sweep
from mimi_dynamics.rssm.training import encode_states, save_rssm
from mimi_dynamics.stage import run_stage
from mimi_dynamics.states import at_updates, write_states


def rssm(params: Params) -> None:
    """Run the stage."""
    latents = read_latents(Path("data/latents"))
    normalizer = load_normalizer(Path("models/normalizer.safetensors"))
    data = normalized_sequences(latents, normalizer, params.latents.voiced_range_db)
    sweep, chosen = run_sweep(params, data, torch.from_numpy(normalizer.scale).float())

    table = score_generation(generation(sweep, chosen))
    draws = params.predict.bootstrap_samples
    metrics = rssm_metrics(sweep, chosen) | {
        "generation": generation_metrics(table, draws, params.seed),
        "log_mel_distance": decode(params, sweep, chosen, normalizer),
    }
    write_metrics(Path("metrics/rssm.json"), metrics)
    write_plots(sweep, chosen)
    write_model(sweep, chosen, latents)


def generation(sweep: Sweep, chosen: str) -> Generation:
    """Forecasts of test clips by way of the chosen state, and of raw x."""
    params, stride = sweep.params, sweep.params.rssm.state_stride
    updates = at_updates(sweep.data, stride)
    truth, settings, leads = updates.select("test"), params.rollout, sorted(params.horizons)
    grid = settings.prompt_frames, settings.stride_frames, settings.starts
    densities = {
        name: sweep.measured[name].densities["conditional"].predictor for name in (chosen, RAW)
    }
    known = {name: sweep.measures[name].candidate.updates.select("test") for name in densities}
    return Generation(
        model=sweep.trained[chosen].model,
        state=densities[chosen],
        raw=densities[RAW],
        states=known[chosen],
        frames=known[RAW],
        truth=truth,
        climate=updates.select("train").frames,
        starts=choose_starts(truth, *grid, leads[0]),
        leads=leads,
        samples=settings.samples,
        seed=params.seed,
    )


def decode(params: Params, sweep: Sweep, chosen: str, normalizer: Normalizer) -> dict[str, float]:
    """Log-mel distance of x from z_dyn alone, and from z_dyn and z_rec."""
    test = sweep.data.select("test")
    inside = torch.from_numpy((sweep.data.splits == "test")[sweep.data.clip_of_frame])
    readings = {
        "z_dyn": sweep.measured[chosen].readings[inside],
        "z_dyn_and_z_rec": sweep.diagnosis(chosen, "test").readings,
        "train_mean": sweep.data.select("train").frames.mean(0).expand_as(test.frames),
    }
    with one_thread_each():  # the same sums on any number of cores
        return decoded_distances(load_codec(params.codec), normalizer, test, readings)


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
