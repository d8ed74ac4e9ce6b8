"""Forecasts of all models from the same starts: what they draw, and how it scores by lead.

The score is the energy score: how far samples are from the truth, less how far from each other. It
is proper for forecasts that can be sampled but have no density at hand, as free-running ones.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.evidence.bootstrap import COVERAGE, ClipBootstrap, Estimate
from mimi_dynamics.evidence.energy_score import energy_score
from mimi_dynamics.generation.generator import Generator, Grid, load_generator
from mimi_dynamics.generation.rollouts import seeded, true_frames
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams

CLIMATOLOGY_SAMPLES = 64  # a fair score has the same mean for any number, and less noise for more
TRAIN_SHARE = 0.999  # of train frames, whose norm says how far a frame may be from their mean


def draw_all(
    generators: Mapping[str, Generator], grid: Grid, compute: ComputeParams = PLAIN
) -> dict[str, Tensor]:
    """Draw (samples, starts, longest, dim) frames x of every generator, by name.

    Args:
        generators: by name.
        grid: the starts.
        compute: where to draw: on all cores, or on a GPU.
    """
    jobs = [
        partial(draw, generator, piece, compute)
        for piece in grid.pieces(grid.split)
        for generator in generators.values()
    ]
    drawn = run_fits(jobs, "generate", compute)
    return {name: join(drawn[number :: len(generators)]) for number, name in enumerate(generators)}


def draw(generator: Generator, piece: Grid, compute: ComputeParams) -> Tensor:
    """Draw paths (`Generator.paths`) of one piece; the same bits whatever else is drawn."""
    with generator.on_device(compute), seeded(piece.seed):
        return generator.paths(piece.split, piece.starts, piece.steps, piece.samples)


def join(pieces: list[Tensor]) -> Tensor:
    """Put paths of all pieces, the longest first, into one (samples, starts, longest, dim)."""
    longest = pieces[0].shape[2]
    return torch.cat(
        [functional.pad(piece, (0, 0, 0, longest - piece.shape[2])) for piece in pieces], 1
    )


def score_paths(paths: Mapping[str, Tensor], grid: Grid) -> pd.DataFrame:
    """Score paths of `draw_all`, climatology and persistence; the table is that of `score`."""
    with seeded(grid.seed):
        samples = {
            lead: {name: path[:, grid.steps >= lead, lead - 1] for name, path in paths.items()}
            | references(grid, lead)
            for lead in grid.leads
        }
    return score(samples, grid)


def score_forecasts(
    generators: Mapping[str, Generator | Path],
    direct: Mapping[int, Path],
    grid: Grid,
    stream: str,
    compute: ComputeParams = PLAIN,
) -> pd.DataFrame:
    """Draw and score, without keeping what was drawn; the table is that of `score`.

    Unlike in `draw_all` the generators draw one after the other from the same noise, and states
    are turned into frames only where they are scored.

    Args:
        generators: by row, those that run free; or the file of the predictor of one that does.
        direct: by lead, the file of the predictor that jumps there at once, for the row `direct`;
            empty for no such row.
        grid: the starts.
        stream: of the draws, see `Grid.pieces`.
        compute: where to draw: on all cores, or on a GPU.
    """
    jobs = [
        partial(score_piece, generators, direct, piece, compute) for piece in grid.pieces(stream)
    ]
    return pd.concat(run_fits(jobs, "generate", compute), ignore_index=True)


def score_piece(
    generators: Mapping[str, Generator | Path],
    direct: Mapping[int, Path],
    grid: Grid,
    compute: ComputeParams = PLAIN,
) -> pd.DataFrame:
    """Do the same for one piece, in this process, with its seed."""
    steps, samples = grid.steps, {}
    # Reading the files draws too, after the seed is set: it moves all that follows.
    with ExitStack() as moved, seeded(grid.seed):
        running = {
            name: load_generator(given, grid.data) if isinstance(given, Path) else given
            for name, given in generators.items()
        }
        for generator in running.values():
            moved.enter_context(generator.on_device(compute))
        rolled = {
            name: generator.roll_out(grid.split, grid.starts, steps, grid.samples)
            for name, generator in running.items()
        }
        for lead in grid.leads:
            here, drawn = steps >= lead, {}
            if direct:
                jump = load_generator(direct[lead], grid.data)
                with jump.on_device(compute):
                    drawn["direct"] = jump.draw_next(grid.split, grid.starts[here], grid.samples)
            drawn |= references(grid, lead)
            for name, path in rolled.items():
                drawn[name] = running[name].finish(path[:, here, lead - 1])
            samples[lead] = drawn
    return score(samples, grid)


def references(grid: Grid, lead: int) -> dict[str, Tensor]:
    """Draw what knows no model: `climatology`, any frames of train; `persistence`, the newest."""
    starts = grid.starts[grid.steps >= lead]
    frame = torch.randint(len(grid.climate), (CLIMATOLOGY_SAMPLES, len(starts)))
    newest = true_frames(grid.clips.frames, grid.clips.lengths, starts, 0)
    return {"climatology": grid.climate[frame], "persistence": torch.stack([newest] * 2)}


def score(samples: Mapping[int, Mapping[str, Tensor]], grid: Grid) -> pd.DataFrame:
    """Score samples by lead and row, each (samples, starts that reach the lead, dim).

    Where the true frame is gated, nothing is scored.

    Raises:
        InputError: all true frames at a lead are gated.

    Returns:
        For every row, lead and start that reaches it: `row`, `lead`, `clip`, `past`,
        `energy_score`, `error` (mean distance of a sample to the truth), `spread` (mean distance of
        two samples), `survival` (share of samples within the 99.9 % norm quantile of train) and
        `true_survival` (the truth's: 1 or 0).
    """
    limit = float(np.quantile(grid.climate.norm(dim=-1).numpy(), TRAIN_SHARE))
    tables = []
    for lead, by_row in samples.items():
        starts = grid.starts[grid.steps >= lead]
        target = true_frames(grid.clips.frames, grid.clips.lengths, starts, lead)
        heard = ~true_frames(grid.clips.gated, grid.clips.lengths, starts, lead).numpy()
        if len(heard) and not heard.any():
            raise InputError(
                f"horizons: {lead} frames ahead, all that could be scored is digital silence"
            )
        for row, drawn in by_row.items():
            energy = energy_score(drawn, target)
            error = (drawn - target).double().norm(dim=-1).mean(0)
            columns = {
                "row": row,
                "lead": lead,
                "clip": starts.clip,
                "past": starts.past,
                "energy_score": energy.numpy(),
                "error": error.numpy(),
                "spread": 2 * (error - energy).numpy(),
                "survival": (drawn.norm(dim=-1) <= limit).double().mean(0).numpy(),
                "true_survival": (target.norm(dim=-1) <= limit).double().numpy(),
            }
            tables.append(pd.DataFrame(columns)[heard])
    return pd.concat(tables, ignore_index=True)


class LeadScores:
    """Means over starts and trainings, lead by lead, and over leads; paired between rows.

    Clips are drawn again, and so are the trainings of a contender: another would be another model.

    Args:
        table: of `score`; a `row` may end in `@` and the number of a training. All rows have the
            same starts.
        samples: bootstrap draws.
        seed: of the draws.
    """

    def __init__(self, table: pd.DataFrame, samples: int, seed: int) -> None:
        clips, index = np.unique(table["clip"], return_inverse=True)
        names = table["row"].str.partition("@")
        self.table = table.assign(row=names[0], training=names[2], index=index)
        self.leads = sorted(table["lead"].unique())
        self.bootstrap = ClipBootstrap(len(clips), samples, seed)
        scored = np.zeros((len(clips), len(self.leads)))
        scored[index, np.searchsorted(self.leads, table["lead"])] = 1
        weights = self.bootstrap.weights
        # No draw must come out empty at a lead, for few clips may reach it.
        self.bootstrap.weights = weights[(weights @ scored > 0).all(1)]
        self.seed = seed

    def at(self, row: str, lead: int, column: str = "energy_score") -> Estimate:
        """Estimate the mean over the starts that reach a lead."""
        rows = self.table[(self.table["row"] == row) & (self.table["lead"] == lead)]
        each = [
            self.bootstrap.mean(one[column].to_numpy(), one["index"].to_numpy())
            for _, one in rows.groupby("training")
        ]
        resamples = np.stack([estimate.resamples for estimate in each], 1)
        value = float(np.mean([estimate.value for estimate in each]))
        return Estimate(value, (self.training_weights(len(each)) * resamples).sum(1))

    def training_weights(self, count: int) -> np.ndarray:
        """(draws, count) shares of the trainings; the same for all rows that have as many."""
        draws, even = len(self.bootstrap.weights) - 1, np.full(count, 1 / count)
        return np.random.default_rng(self.seed).multinomial(count, even, draws) / count

    def overall(self, row: str, column: str = "energy_score") -> Estimate:
        """Estimate the mean over the leads, each counting the same."""
        return average([self.at(row, lead, column) for lead in self.leads])

    def skill(self, row: str, lead: int) -> Estimate:
        """1 − score / score of climatology: 1 is perfect, 0 no better than climatology."""
        climatology = self.at("climatology", lead)
        return (climatology - self.at(row, lead)) / climatology

    def counts(self, lead: int) -> dict[str, int]:
        """How many starts reach a lead, and how many clips they are in."""
        starts = self.table[self.table["lead"] == lead].drop_duplicates(["clip", "past"])
        return {"starts": len(starts), "clips": starts["clip"].nunique()}


def scores_of_each_lead(table: pd.DataFrame, samples: int, seed: int) -> dict[int, LeadScores]:
    """Take every lead for itself, with bootstrap draws of only those clips that reach it.

    `LeadScores` of the whole table pairs leads too, and draws the same clips for all of them.
    """
    return {lead: LeadScores(rows, samples, seed) for lead, rows in table.groupby("lead")}


def skill_horizon(skills: Mapping[int, Estimate]) -> int:
    """Give the last lead up to which every interval of the skill is above 0; 0 if there is none.

    Unbroken, because among many leads without skill some interval lies above 0 by chance: so did
    that of a model without any past, 64 frames ahead, where clips are few.
    """
    last = 0
    for lead in sorted(skills):
        if np.quantile(skills[lead].resamples, (1 - COVERAGE) / 2) <= 0:
            break
        last = lead
    return last


def average(estimates: list[Estimate]) -> Estimate:
    """Average paired estimates."""
    return Estimate(
        float(np.mean([estimate.value for estimate in estimates])),
        np.mean([estimate.resamples for estimate in estimates], axis=0),
    )
