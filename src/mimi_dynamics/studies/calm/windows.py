"""Distances between the laws of generated and of recorded windows of about a second.

Neither is a conditional score: windows are pooled, and a model that ignores its prompt can do well.
Both are biased upwards at finite n (the Fréchet distance of two samples of N(0, I) in 32 dimensions
is 5.7 at n = 100), so that all are compared at the same n, beside recorded windows of other clips.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.evidence.bootstrap import Estimate

WINDOW = 12  # frames: 0.96 s
FRECHET_DIM = 16  # leading principal components of train windows
LEAST_SHARE = 1e-3  # of the largest deviation; components with less are numerical noise
DIRECTIONS = 128  # of slices, the same for all
DRAWS = 200  # bootstrap draws of clips


@dataclass(frozen=True)
class Windows:
    """Windows of several sources at the same places.

    Attributes:
        values: by source, (windows, length × dim).
        clip: (windows,) the clip that each place is in.
    """

    values: dict[str, np.ndarray]
    clip: np.ndarray


def cut(paths: Tensor, steps: np.ndarray, length: int) -> tuple[Tensor, np.ndarray]:
    """Cut paths of (starts, time, dim) into whole windows, one after the other.

    Args:
        paths: frames.
        steps: (starts,) how many of each count.
        length: of a window, in frames.

    Returns:
        (windows, length × dim), and (windows,) the start of each.
    """
    count = paths.shape[1] // length
    pieces = paths[:, : count * length].unflatten(1, (count, length)).flatten(2)
    whole = np.arange(count)[None] < (steps // length)[:, None]
    return pieces[torch.from_numpy(whole)], np.nonzero(whole)[0]


class WindowSpace:
    """Coordinates in which windows are compared, fitted on train windows only.

    Args:
        train: (windows, length × dim).
        seed: of the slices.
    """

    def __init__(self, train: np.ndarray, seed: int) -> None:
        train = train.astype(np.float64)
        self.mean = train.mean(0)
        _, values, axes = np.linalg.svd(train - self.mean, full_matrices=False)
        kept = min(FRECHET_DIM, int((values > LEAST_SHARE * values[0]).sum()))
        self.scale, self.axes = values[:kept] / np.sqrt(len(train)), axes[:kept]
        slices = np.random.default_rng(seed).normal(size=(train.shape[1], DIRECTIONS))
        self.slices = slices / np.linalg.norm(slices, axis=0)

    def components(self, windows: np.ndarray) -> np.ndarray:
        """Project onto the whitened leading components, (windows, components)."""
        return (windows - self.mean) @ self.axes.T / self.scale

    def projections(self, windows: np.ndarray) -> np.ndarray:
        """Project onto the slices, (windows, DIRECTIONS)."""
        return windows.astype(np.float64) @ self.slices


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Compute |Δmean|² + tr(A + B − 2 (A B)^½) of the moments of two tables of (windows, dim)."""
    gap = first.mean(0) - second.mean(0)
    a, b = (np.cov(part, rowvar=False, bias=True) for part in (first, second))
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * cross)


def sliced_wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """Average the 1-Wasserstein distance of two tables of (windows, slices) over slices."""
    return float(np.abs(np.sort(first, axis=0) - np.sort(second, axis=0)).mean())


def distances(
    windows: Windows, space: WindowSpace, truth: str, seed: int
) -> dict[str, dict[str, Estimate]]:
    """Measure the Fréchet and sliced Wasserstein distance of every other source to the truth.

    Intervals are of clips drawn again; those of biased distances lie above the value, because
    a draw has fewer different windows, and are shifted back by the mean difference.

    Args:
        windows: of all sources, at the same places.
        space: to compare in.
        truth: name of the recorded ones.
        seed: of the draws.
    """
    clips, index = np.unique(windows.clip, return_inverse=True)
    places = [np.flatnonzero(index == clip) for clip in range(len(clips))]
    generator = np.random.default_rng(seed)
    chosen = [np.arange(len(index))]
    for _ in range(DRAWS):
        drawn = generator.integers(len(clips), size=len(clips))
        chosen.append(np.concatenate([places[clip] for clip in drawn]))
    found: dict[str, dict[str, Estimate]] = {}
    views = {"frechet": (space.components, frechet)}
    views["sliced_wasserstein"] = (space.projections, sliced_wasserstein)
    for name, (view, distance) in views.items():
        seen = {source: view(values) for source, values in windows.values.items()}
        for source in seen.keys() - {truth}:
            values = np.array([distance(seen[source][rows], seen[truth][rows]) for rows in chosen])
            resamples = values[1:] - values[1:].mean() + values[0]
            found.setdefault(source, {})[name] = Estimate(float(values[0]), resamples)
    return {source: found[source] for source in windows.values if source in found}
