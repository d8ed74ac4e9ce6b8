"""All contenders and floors from the same starts: what they draw, and how it scores by lead."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.energy_score import energy_score
from mimi_dynamics.generation.forecasts import CLIMATOLOGY_SAMPLES, TRAIN_SHARE
from mimi_dynamics.generation.generator import Draw, Generator, draw
from mimi_dynamics.generation.rollouts import Starts, seeded, true_frames
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.parallel import run_parallel

STARTS_PER_JOB = 32  # drawn together; fixed, so that samples do not depend on the cores


@dataclass(frozen=True)
class Grid:
    """From where and how far ahead forecasts are made.

    Attributes:
        data: the frames x of every split.
        split: that the starts are in.
        starts: those with most frames to come first.
        leads: frames ahead that are scored.
        samples: of each forecast.
        seed: of all draws.
    """

    data: Sequences
    split: str
    starts: Starts
    leads: list[int]
    samples: int
    seed: int

    @property
    def steps(self) -> np.ndarray:
        """(starts,) the longest lead that each start reaches: how far it is rolled out."""
        leads = np.array([0, *self.leads])
        return leads[np.searchsorted(leads[1:], self.starts.room, side="right")]

    def thinned(self, starts: int, samples: int) -> "Grid":
        """Fewer starts, evenly over the frames to come, and samples."""
        kept = np.unique(np.linspace(0, len(self.starts) - 1, starts).astype(int))
        return replace(self, starts=self.starts[kept], samples=samples)

    def draws(self, generator: Generator) -> list[Draw]:
        """What there is to draw, in pieces; checkpoints of one model draw with the same noise."""
        return [
            Draw(
                generator=generator,
                split=self.split,
                starts=self.starts[first : first + STARTS_PER_JOB],
                steps=self.steps[first : first + STARTS_PER_JOB],
                samples=self.samples,
                seed=zlib.crc32(f"{self.seed} {self.split} {first}".encode()),
            )
            for first in range(0, len(self.starts), STARTS_PER_JOB)
        ]

    def join(self, pieces: list[Tensor]) -> Tensor:
        """(samples, starts, longest, dim) of the pieces, the first of which is the longest."""
        longest = pieces[0].shape[2]
        padded = [
            torch.nn.functional.pad(piece, (0, 0, 0, longest - piece.shape[2])) for piece in pieces
        ]
        return torch.cat(padded, 1)


def draw_all(generators: Mapping[str, Generator], grid: Grid) -> dict[str, Tensor]:
    """Paths of every generator, (samples, starts, longest, dim) frames x, on all cores."""
    jobs = {name: grid.draws(generator) for name, generator in generators.items()}
    order = sorted(
        ((name, piece) for name, pieces in jobs.items() for piece in range(len(pieces))),
        key=lambda key: -int(jobs[key[0]][key[1]].steps[0]),
    )
    drawn = run_parallel(draw, [jobs[name][piece] for name, piece in order], "generate")
    found = dict(zip(order, drawn, strict=True))
    return {
        name: grid.join([found[name, piece] for piece in range(len(pieces))])
        for name, pieces in jobs.items()
    }


def score_paths(paths: Mapping[str, Tensor], grid: Grid) -> pd.DataFrame:
    """Scores of drawn paths, and of climatology and persistence, by lead and start.

    Returns:
        `row`, `lead`, `clip`, `past`, `energy_score`, `survival` (share of samples within the
        train distribution's 99.9 % norm quantile), `error` (mean distance of a sample to what
        came), `spread` (mean distance of two samples).
    """
    train = grid.data.select("train").frames
    limit = float(np.quantile(train.norm(dim=-1).numpy(), TRAIN_SHARE))
    clips = grid.data.select(grid.split)
    tables = []
    with seeded(grid.seed):
        for lead in grid.leads:
            here = grid.steps >= lead
            starts = grid.starts[here]
            anyone = torch.randint(len(train), (CLIMATOLOGY_SAMPLES, len(starts)))
            newest = true_frames(clips, starts, 0)
            drawn = {name: path[:, here, lead - 1] for name, path in paths.items()}
            drawn |= {"climatology": train[anyone], "persistence": torch.stack([newest] * 2)}
            target = true_frames(clips, starts, lead)
            for name, samples in drawn.items():
                score = energy_score(samples, target)
                error = (samples - target).double().norm(dim=-1).mean(0)
                table = {"row": name, "lead": lead, "clip": starts.clip, "past": starts.past}
                table |= {"energy_score": score.numpy(), "error": error.numpy()}
                table["spread"] = 2 * (error - score).numpy()
                inside = samples.norm(dim=-1) <= limit
                table["survival"] = inside.double().mean(0).numpy()
                tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


class LeadScores:
    """Means over starts and trainings, lead by lead, and over leads; paired between rows.

    Clips are drawn again, and so are the trainings of a contender: another would be another model.

    Args:
        table: of `score_paths`; a `row` may end in `@` and the number of a training.
        samples: bootstrap draws.
        seed: of the draws.
    """

    def __init__(self, table: pd.DataFrame, samples: int, seed: int) -> None:
        clips, index = np.unique(table["clip"], return_inverse=True)
        names = table["row"].str.partition("@")
        self.table = table.assign(row=names[0], training=names[2], index=index)
        self.leads = sorted(table["lead"].unique())
        self.bootstrap = ClipBootstrap(len(clips), samples, seed)
        longest = np.zeros(len(clips))
        longest[self.table.loc[table["lead"] == self.leads[-1], "index"]] = 1
        weights = self.bootstrap.weights
        self.bootstrap.weights = weights[weights @ longest > 0]  # a draw must not come out empty
        self.seed = seed

    def at(self, row: str, lead: int, column: str = "energy_score") -> Estimate:
        """Mean over the starts that reach a lead."""
        rows = self.table[(self.table["row"] == row) & (self.table["lead"] == lead)]
        each = [
            self.bootstrap.mean(one[column].to_numpy(), one["index"].to_numpy())
            for _, one in rows.groupby("training")
        ]
        resamples = np.stack([found.resamples for found in each], 1)
        value = float(np.mean([found.value for found in each]))
        return Estimate(value, (self.training_weights(len(each)) * resamples).sum(1))

    def training_weights(self, count: int) -> np.ndarray:
        """(draws, count) shares of the trainings; the same for all rows that have as many."""
        draws, even = len(self.bootstrap.weights) - 1, np.full(count, 1 / count)
        return np.random.default_rng(self.seed).multinomial(count, even, draws) / count

    def overall(self, row: str, column: str = "energy_score") -> Estimate:
        """Mean over the leads, each counting the same."""
        return average([self.at(row, lead, column) for lead in self.leads])

    def skill(self, row: str, lead: int) -> Estimate:
        """1 − score / score of climatology."""
        floor = self.at("climatology", lead)
        return (floor - self.at(row, lead)) / floor


def average(estimates: list[Estimate]) -> Estimate:
    """Mean of paired estimates."""
    return Estimate(
        float(np.mean([e.value for e in estimates])),
        np.mean([e.resamples for e in estimates], axis=0),
    )
