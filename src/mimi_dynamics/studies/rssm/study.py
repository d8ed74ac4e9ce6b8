"""Free-running generation by way of the state, and what the ear gets of it."""

import torch

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.generation.rollouts import choose_starts
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.states import at_updates
from mimi_dynamics.pipeline.parallel import one_thread_each
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.rssm.generation import Generation
from mimi_dynamics.studies.rssm.metrics import decoded_distances
from mimi_dynamics.studies.rssm.sweep import RAW, Sweep


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
