"""Distances between the distributions of generated and recorded windows of about a second.

Neither distance is a conditional score: windows are pooled, so a model that ignores its prompt can
do well. Both are biased upwards at finite n (the Fréchet distance of two samples of N(0, I) in 32
dimensions is 5.7 at n = 100). Therefore all contenders are compared at the same n, together with
recorded windows of other clips.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.evidence.bootstrap import Estimate

WINDOW = 12  # in frames, which is 0.96 s
FRECHET_DIM = 16  # number of leading principal components of train windows
# Components with less than this share of the largest standard deviation are numerical noise.
LEAST_SHARE = 1e-3
DIRECTIONS = 128  # number of slices, the same for all contenders
DRAWS = 200  # number of bootstrap draws of clips


@dataclass(frozen=True)
class Windows:
    """Windows of several sources at the same places.

    Attributes:
        values: (windows, length × dim) windows, by source.
        clip: (windows,) the clip of each place.
    """

    values: dict[str, np.ndarray]
    clip: np.ndarray


def cut(paths: Tensor, steps: np.ndarray, length: int) -> tuple[Tensor, np.ndarray]:
    """Cut paths into whole windows, one after the other.

    Args:
        paths: (starts, time, dim) frames.
        steps: (starts,) number of frames that count in each path.
        length: length of a window in frames.

    Returns:
        (windows, length × dim) windows, and the (windows,) index of the start of each.
    """
    count = paths.shape[1] // length
    pieces = paths[:, : count * length].unflatten(1, (count, length)).flatten(2)
    whole = np.arange(count)[None] < (steps // length)[:, None]
    return pieces[torch.from_numpy(whole)], np.nonzero(whole)[0]


class WindowSpace:
    """Coordinates in which windows are compared, fitted only on train windows.

    Args:
        train: (windows, length × dim) windows.
        seed: seed of the slices.
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
    """Compute |Δmean|² + tr(A + B − 2 (A B)^½) from the moments of two (windows, dim) tables."""
    gap = first.mean(0) - second.mean(0)
    a, b = (np.cov(part, rowvar=False, bias=True) for part in (first, second))
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * cross)


def sliced_wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """Average the 1-Wasserstein distance of two (windows, slices) tables over slices."""
    return float(np.abs(np.sort(first, axis=0) - np.sort(second, axis=0)).mean())


def distances(
    windows: Windows, space: WindowSpace, truth: str, seed: int
) -> dict[str, dict[str, Estimate]]:
    """Measure the Fréchet and sliced Wasserstein distance of every other source to the truth.

    Intervals come from resampled clips. A resample has fewer different windows, so the resampled
    values of a biased distance lie above the value itself; they are shifted back by the mean
    difference.

    Args:
        windows: windows of all sources, at the same places.
        space: the coordinates in which to compare.
        truth: name of the recorded windows.
        seed: seed of the draws.
    """
    clips, index = np.unique(windows.clip, return_inverse=True)
    places = [np.flatnonzero(index == clip) for clip in range(len(clips))]
    generator = np.random.default_rng(seed)
    chosen = [np.arange(len(index))]
    for _ in range(DRAWS):
        drawn = generator.integers(len(clips), size=len(clips))
        chosen.append(np.concatenate([places[clip] for clip in drawn]))
    results: dict[str, dict[str, Estimate]] = {}
    views = {"frechet": (space.components, frechet)}
    views["sliced_wasserstein"] = (space.projections, sliced_wasserstein)
    for name, (view, distance) in views.items():
        seen = {source: view(values) for source, values in windows.values.items()}
        for source in seen.keys() - {truth}:
            values = np.array([distance(seen[source][rows], seen[truth][rows]) for rows in chosen])
            resamples = values[1:] - values[1:].mean() + values[0]
            results.setdefault(source, {})[name] = Estimate(float(values[0]), resamples)
    return {source: results[source] for source in windows.values if source in results}
