"""Continuations of all contenders from the same starts, and how similar they are to speech."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.generation.generator import Grid
from mimi_dynamics.generation.scores import LeadScores, draw_all, score_paths
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.calm.comparison import CURVE_SAMPLES, CURVE_STARTS, Comparison
from mimi_dynamics.studies.calm.windows import WINDOW, Windows, WindowSpace, cut, distances

Value = TypeVar("Value")


@dataclass(frozen=True)
class Drawn:
    """Continuations of all contenders from the starts of one split.

    Attributes:
        grid: the starts.
        paths: (samples, starts, longest, dim) frames, by generator.
        scores: scores by contender, over its trainings.
    """

    grid: Grid
    paths: dict[str, Tensor]
    scores: LeadScores


def draw_split(comparison: Comparison, split: str) -> Drawn:
    """Draw from all contenders and score them; splits other than test get fewer draws."""
    grid = comparison.grid(split)
    if split != "test":
        grid = grid.thinned(CURVE_STARTS, CURVE_SAMPLES)
    paths = draw_all(comparison.generators, grid, comparison.params.compute)
    draws, seed = comparison.params.predict.bootstrap_samples, comparison.params.seed
    return Drawn(grid, paths, LeadScores(score_paths(paths, grid), draws, seed))


def draw_splits(comparison: Comparison) -> dict[str, Drawn]:
    """Draw and score on `test`, and on `test_voice` if a voice is held out."""
    return {split: draw_split(comparison, split) for split in evaluated_splits(comparison.data)}


def window_distances(comparison: Comparison, drawn: Drawn) -> dict[str, dict[str, Estimate]]:
    """Compare generated windows with the recorded windows at the same places.

    Windows in which a recorded frame is gated are left out, of all contenders.

    The row `recorded` compares other windows of train speech instead, as many as are generated.
    """
    grid, seed = drawn.grid, comparison.params.seed
    length = min(WINDOW, int(grid.steps[0]))
    truth, gated = recorded_paths(grid)
    windows, start = cut(truth, grid.steps, length)
    heard = ~cut(gated, grid.steps, length)[0].any(1)
    values = {
        name: cut(path[0], grid.steps, length)[0][heard]
        for name, path in first_runs(drawn.paths).items()
    }
    windows, start = windows[heard], start[heard.numpy()]
    everything = train_windows(comparison.data.select("train"), length)
    if not len(windows) or len(everything) < 2:
        raise InputError(f"calm: no window of {length} frames without digital silence")
    generator = torch.Generator().manual_seed(seed)
    other = torch.randint(len(everything), (len(windows),), generator=generator)
    values["recorded"] = everything[other]
    values["truth"] = windows
    result = Windows({n: v.numpy() for n, v in values.items()}, grid.starts.clip[start])
    return distances(result, WindowSpace(everything.numpy(), seed), "truth", seed)


def first_runs(found: Mapping[str, Value]) -> dict[str, Value]:
    """Keep only the first training of each contender, by the name of the contender."""
    parts = {name: name.partition("@") for name in found}
    return {parts[n][0]: value for n, value in found.items() if parts[n][2] in ("", "0")}


def recorded_paths(grid: Grid) -> tuple[Tensor, Tensor]:
    """Give the recorded (starts, longest, dim) frames after each start, and which are gated.

    Frames beyond the length of a continuation are zeros. The second tensor is (starts, longest, 1).
    """
    clips = grid.data.select(grid.split)
    longest = int(grid.steps[0])
    ends = np.cumsum(clips.lengths)[grid.starts.clip]
    index = (ends - grid.starts.room)[:, None] + np.arange(longest)[None]
    inside = np.arange(longest)[None] < grid.steps[:, None]
    frame = torch.from_numpy(np.where(inside, index, 0))
    counted = torch.from_numpy(inside)[..., None]
    return clips.frames[frame] * counted, clips.gated[frame][..., None] & counted


def train_windows(train: Sequences, length: int) -> Tensor:
    """Cut all clips into (windows, length × dim) windows, without those that are gated in part."""
    longest = int(train.lengths.max())
    begins = np.cumsum(train.lengths) - train.lengths
    inside = np.arange(longest)[None] < train.lengths[:, None]
    index = torch.from_numpy(np.where(inside, begins[:, None] + np.arange(longest)[None], 0))
    windows, _ = cut(train.frames[index], train.lengths, length)
    gated, _ = cut(train.gated[index][..., None], train.lengths, length)
    return windows[~gated.any(1)]
