"""Forecasts of what comes so many frames ahead, and their energy score.

The energy score is how far samples are from the truth, less how far from each other: a proper score
for forecasts that can be sampled but have no density at hand, as free-running ones.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mimi_dynamics.density.predictor import Predictor, load_predictor
from mimi_dynamics.density.var import Var
from mimi_dynamics.evidence.bootstrap import COVERAGE, ClipBootstrap, Estimate
from mimi_dynamics.evidence.energy_score import energy_score
from mimi_dynamics.generation.rollouts import (
    Starts,
    draw_next,
    linear_floor,
    read_past,
    roll_out,
    seeded,
    true_frames,
)
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.parallel import run_parallel

STARTS_PER_JOB = 32  # rolled out together; fixed, so that samples do not depend on the cores
CLIMATOLOGY_SAMPLES = 64  # a fair score has the same mean for any number, and less noise for more
TRAIN_SHARE = 0.999  # of train frames, whose norm says how far a frame may be from their mean

Row = Literal["rollout", "direct", "var", "climatology"]


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of every row from some starts, to be drawn and scored.

    Attributes:
        sequences: the clips of one split.
        starts: in them, those with most frames to come first.
        predictors: by frames ahead, 1 among them, the file of the predictor.
        var: the linear model one frame ahead.
        climate: (frames, dim) what `climatology` draws from: the frames of train.
        limit: largest norm of a frame that counts as survival.
        samples: of each forecast.
        seed: of the draws.
    """

    sequences: Sequences
    starts: Starts
    predictors: Mapping[int, Path]
    var: Var
    climate: Tensor
    limit: float
    samples: int
    seed: int


def score_forecasts(job: Forecasts) -> pd.DataFrame:
    """Draw and score.

    Returns:
        For every row, lead and start that reaches it: `row`, `lead`, `clip`, `past`,
        `energy_score`, `survival` (share of samples within the limit), `true_survival` (1 or 0).
    """
    with seeded(job.seed):
        tables = [_score(job, row, lead, drawn) for row, lead, drawn in _draw(job)]
    return pd.concat(tables, ignore_index=True)


def _draw(job: Forecasts) -> Iterator[tuple[Row, int, Tensor]]:
    """Row, lead, and (samples, starts, dim) the draws for the starts that reach it."""
    leads = [lead for lead in sorted(job.predictors) if lead <= job.starts.room[0]]
    steps = np.array(leads)[np.searchsorted(leads, job.starts.room, side="right") - 1]
    step, _ = load_predictor(job.predictors[1])
    free: dict[Row, Predictor] = {"rollout": step, "var": linear_floor(job.var)}
    for row, predictor in free.items():
        past = read_past(predictor, job.sequences, job.starts)
        paths = roll_out(predictor, past, steps, job.samples)
        for lead in leads:
            yield row, lead, paths[:, steps >= lead, lead - 1]
    for lead in leads:
        starts = job.starts.reach(lead)
        ahead, _ = load_predictor(job.predictors[lead])
        past = read_past(ahead, job.sequences, starts)
        yield "direct", lead, draw_next(ahead, past, job.samples)
        anyone = torch.randint(len(job.climate), (CLIMATOLOGY_SAMPLES, len(starts)))
        yield "climatology", lead, job.climate[anyone]


def _score(job: Forecasts, row: Row, lead: int, samples: Tensor) -> pd.DataFrame:
    starts = job.starts.reach(lead)
    target = true_frames(job.sequences, starts, lead)
    return pd.DataFrame(
        {
            "row": row,
            "lead": lead,
            "clip": starts.clip,
            "past": starts.past,
            "energy_score": energy_score(samples, target).numpy(),
            "survival": (samples.norm(dim=-1) <= job.limit).double().mean(0).numpy(),
            "true_survival": (target.norm(dim=-1) <= job.limit).double().numpy(),
        }
    )


def score_splits(
    sequences: Sequences,
    starts: Mapping[str, Starts],
    predictors: Mapping[int, Path],
    var: Var,
    samples: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """The table of `score_forecasts` for each split, on all cores.

    Args:
        sequences: the clips of every split.
        starts: by split, from `choose_starts` of that split's clips.
        predictors: by frames ahead, 1 among them, the file of the predictor.
        var: the linear model one frame ahead.
        samples: of each forecast.
        seed: of all draws.
    """
    climate = sequences.select("train").frames
    limit = float(np.quantile(climate.norm(dim=-1).numpy(), TRAIN_SHARE))
    jobs: dict[tuple[str, int], Forecasts] = {}
    for split, every in starts.items():
        clips = sequences.select(split)
        for first in range(0, len(every), STARTS_PER_JOB):
            jobs[split, first] = Forecasts(
                sequences=clips,
                starts=every[first : first + STARTS_PER_JOB],
                predictors=predictors,
                var=var,
                climate=climate,
                limit=limit,
                samples=samples,
                seed=zlib.crc32(f"{seed} {split} {first}".encode()),
            )
    # The longest trajectories first: all cores are busy to the end.
    order = sorted(jobs, key=lambda key: -jobs[key].starts.room[0])
    tables = run_parallel(score_forecasts, [jobs[key] for key in order], "roll out")
    found = dict(zip(order, tables, strict=True))
    return {
        split: pd.concat([found[key] for key in jobs if key[0] == split], ignore_index=True)
        for split in starts
    }


class ForecastScores:
    """Mean scores of several forecasts of the same targets, comparable in pairs.

    Args:
        table: a row for every forecast (`row`) and start (`clip`, `past`); every forecast has the
            same starts. Beside these `energy_score`, and whatever else is to be averaged.
        samples: bootstrap draws of the clips.
        seed: of the draws.
    """

    def __init__(self, table: pd.DataFrame, samples: int, seed: int) -> None:
        ordered = table.sort_values(["row", "clip", "past"])
        self.rows = {name: rows for name, rows in ordered.groupby("row")}
        starts = next(iter(self.rows.values()))["clip"].to_numpy()
        clips, self.clip = np.unique(starts, return_inverse=True)
        self.starts, self.clips = len(starts), len(clips)
        # Only clips that have a start are drawn again: a draw must not come out empty.
        self.bootstrap = ClipBootstrap(len(clips), samples, seed)

    def mean(self, row: str, column: str = "energy_score") -> Estimate:
        """Mean over starts."""
        return self.bootstrap.mean(self.rows[row][column].to_numpy(), self.clip)

    def skill(self, row: str, reference: str = "climatology") -> Estimate:
        """1 − score / score of the reference: 1 is perfect, 0 no better than the reference."""
        return (self.mean(reference) - self.mean(row)) / self.mean(reference)


def skill_horizon(skills: Mapping[int, Estimate]) -> int:
    """The last lead up to which every interval of the skill is above 0; 0 if there is none.

    Unbroken, because among many leads without skill some interval lies above 0 by chance: so did
    that of a model without any past, 64 frames ahead, where clips are few.
    """
    last = 0
    for lead in sorted(skills):
        if np.quantile(skills[lead].resamples, (1 - COVERAGE) / 2) <= 0:
            break
        last = lead
    return last
