"""Free-running generation: roll z_dyn, draw z_rec from the prior, reconstruct; beside raw x."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.evidence.energy_score import energy_score
from mimi_dynamics.generation.forecasts import CLIMATOLOGY_SAMPLES
from mimi_dynamics.generation.rollouts import Starts, read_past, roll_out, seeded, true_frames
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.studies.rssm.model import Rssm

STARTS_PER_JOB = 32  # fixed, so that samples do not depend on the cores


@dataclass(frozen=True)
class Generation:
    """Forecasts of x by way of z_dyn, and of x itself, from the same starts.

    Attributes:
        model: what turns states into frames.
        state: p(z_dyn,u+1 | z_dyn,≤u), fitted by the estimator.
        raw: p(x_u+1 | x_≤u), fitted by the same estimator.
        states: noisy states of one split's clips at their updates.
        frames: noisy frames x at these updates.
        truth: the same without noise: what is to be forecast.
        climate: (frames, dim) frames of train.
        starts: in updates, those with most to come first.
        leads: in updates.
        samples: of each forecast.
        seed: of the draws.
    """

    model: Rssm
    state: Predictor
    raw: Predictor
    states: Sequences
    frames: Sequences
    truth: Sequences
    climate: Tensor
    starts: Starts
    leads: Sequence[int]
    samples: int
    seed: int


def score_generation(job: Generation) -> pd.DataFrame:
    """Draw and score, on all cores.

    Returns:
        For every row (`rssm`, `raw`, `climatology`), lead and start that reaches it: `row`,
        `lead`, `clip`, `past`, `energy_score`.
    """
    parts = [
        replace(
            job,
            starts=job.starts[first : first + STARTS_PER_JOB],
            seed=zlib.crc32(f"{job.seed} generation {first}".encode()),
        )
        for first in range(0, len(job.starts), STARTS_PER_JOB)
    ]
    return pd.concat(run_parallel(score_part, parts, "generate"), ignore_index=True)


def score_part(job: Generation) -> pd.DataFrame:
    """The same for a few starts."""
    with seeded(job.seed):
        return _score(job, job.starts)


def _score(job: Generation, starts: Starts) -> pd.DataFrame:
    leads = [lead for lead in job.leads if lead <= starts.room[0]]
    steps = np.array([0, *leads])[np.searchsorted(leads, starts.room, side="right")]
    starts, steps = starts[steps > 0], steps[steps > 0]
    rolled = {
        name: roll_out(predictor, read_past(predictor, known, starts), steps, job.samples)
        for name, predictor, known in (
            ("rssm", job.state, job.states),
            ("raw", job.raw, job.frames),
        )
    }
    tables = []
    for lead in leads:
        here = steps >= lead
        target = true_frames(job.truth, starts[here], lead)
        anyone = torch.randint(len(job.climate), (CLIMATOLOGY_SAMPLES, len(target)))
        with torch.no_grad():
            drawn = {
                "rssm": job.model.generate(rolled["rssm"][:, here, lead - 1]),
                "raw": rolled["raw"][:, here, lead - 1],
                "climatology": job.climate[anyone],
            }
        tables += [
            pd.DataFrame(
                {
                    "row": name,
                    "lead": lead,
                    "clip": starts.clip[here],
                    "past": starts.past[here],
                    "energy_score": energy_score(samples, target).numpy(),
                }
            )
            for name, samples in drawn.items()
        ]
    return pd.concat(tables, ignore_index=True)
