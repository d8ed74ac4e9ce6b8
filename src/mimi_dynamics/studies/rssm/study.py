"""Free-running generation through the state, and how it sounds."""

import pandas as pd
import torch

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.generation.generator import Generator, make_grid
from mimi_dynamics.generation.scores import score_forecasts
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.states import at_updates
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.rssm.metrics import decoded_distances
from mimi_dynamics.studies.rssm.sweep import RAW, Sweep


def score_generation(sweep: Sweep, chosen: str) -> pd.DataFrame:
    """Forecast test clips through the chosen state, and by raw x, from the same starts.

    Leads are counted in updates of the state, and frames x are forecast only at updates. The input
    of the densities has the noise with which they were fitted; the frames to forecast have none.

    Returns:
        The table of `score_forecasts` with the rows `rssm` and `raw`.
    """
    params = sweep.params
    steps = {name: sweep.measured[name].densities["conditional"].network for name in (chosen, RAW)}
    known = {name: sweep.measured[name].job.candidate.updates for name in steps}
    generators = {
        "rssm": Generator(steps[chosen], known[chosen], sweep.trained[chosen].model),
        RAW: Generator(steps[RAW], known[RAW]),
    }
    updates = at_updates(sweep.data, params.rssm.state_stride)
    grid = make_grid(params, updates, "test", min(params.horizons))
    return score_forecasts(generators, {}, grid, "generation", params.compute)


def decode(params: Params, sweep: Sweep, chosen: str, normalizer: Normalizer) -> dict[str, float]:
    """Measure the log-mel distance of x read from z_dyn alone, and from z_dyn and z_rec."""
    test = sweep.data.select("test")
    inside = torch.from_numpy((sweep.data.splits == "test")[sweep.data.clip_of_frame])
    readings = {
        "z_dyn": sweep.measured[chosen].read[inside],
        "z_dyn_and_z_rec": sweep.diagnosis(chosen, "test").readings,
        "train_mean": sweep.data.train_mean().expand_as(test.frames),
    }
    return decoded_distances(load_codec(params.codec, params.compute), normalizer, test, readings)
