"""A VAR whose rows jump where a coordinate of an earlier frame crosses a threshold.

Each coordinate of the target has a setter of its own, which is some coordinate of one of the latest
frames. Between any two quantiles of the setter, the coordinate has a regression and a scale of its
own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mimi_dynamics.density.regression import (
    Moments,
    best_regression,
    choose_lags,
    columns,
    regressors,
)
from mimi_dynamics.density.screening import (
    RECENT,
    find_setters,
    latest,
    strongest_lags,
)
from mimi_dynamics.latents.sequences import Batch

MOST_LAGS = 4  # of the regressions
MOST_COLUMNS = 256
BINS = 8  # between quantiles of the setter
BATCHES_TO_SCREEN = 32  # of 64 coordinates or fewer
MOST_VALUES = 10_000_000  # of which quantiles are taken; torch takes no more than 16 million


@dataclass(frozen=True)
class ThresholdVar:
    """Threshold autoregressions (Tong & Lim 1980) with correlated noise.

    The correlations of the noise do not depend on the past (Bollerslev 1990).

    Attributes:
        lags: of the regressors, where 0 is the newest frame.
        setters: (dim,) for each coordinate the index of its setter among the coordinates of the
            latest frames, newest first.
        edges: (dim, bins − 1) quantiles of each setter.
        weights: (bins, columns, dim) of the regressors, the last for a constant 1.
        log_scales: (bins, dim) of the noise.
        root: (dim, dim) lower Cholesky root of the correlations of the noise.
    """

    lags: tuple[int, ...]
    setters: Tensor
    edges: Tensor
    weights: Tensor
    log_scales: Tensor
    root: Tensor

    def log_prob(self, batch: Batch) -> Tensor:
        """Give the (scored,) log density of each scored target, in nats."""
        noise, log_scales = self.noise(batch)
        white = torch.linalg.solve_triangular(self.root, noise.T, upper=False)
        spread = self.root.diagonal().log().sum() + len(self.root) / 2 * math.log(2 * math.pi)
        return -0.5 * white.square().sum(0) - log_scales.sum(1) - spread

    def noise(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give (scored, dim) residuals in units of their scales, and the logarithms of those."""
        inputs = regressors(batch, self.lags)
        bins = bin_of(latest(batch)[:, self.setters], self.edges)
        means = torch.zeros_like(batch.target[batch.scored])
        log_scales = torch.zeros_like(means)
        for number, weights in enumerate(self.weights):
            inside = bins == number
            means = torch.where(inside, inputs @ weights, means)
            log_scales = log_scales + inside * self.log_scales[number]
        return (batch.target[batch.scored] - means) / log_scales.exp(), log_scales


def bin_of(values: Tensor, edges: Tensor) -> Tensor:
    """Tell in which bin (rows, dim) values lie, between (dim, bins − 1) edges, as (rows, dim)."""
    return (values[..., None] > edges).sum(-1)


def fit_threshold_var(
    train: list[Batch], validation: list[Batch], known: int, generator: torch.Generator
) -> ThresholdVar:
    """Fit in closed form, with the lags of every row and bin that are best on validation.

    Args:
        train: batches to fit on.
        validation: batches that choose lags and penalties.
        known: number of frames that are known before the first target of a clip.
        generator: draws the projections by which candidate lags are found.
    """
    dim = train[0].target.shape[-1]
    most = min(MOST_LAGS, max(1, MOST_COLUMNS // dim))
    strongest = strongest_lags(train, min(RECENT, known), generator, most)
    to_screen = max(1, BATCHES_TO_SCREEN * 64 // max(64, dim))
    few = train[:: math.ceil(len(train) / to_screen)]
    setters = find_setters(few, strongest)
    values = torch.cat([latest(batch)[:, setters] for batch in train])
    values = values[:: math.ceil(values.numel() / MOST_VALUES)]
    edges = torch.quantile(values, torch.arange(1, BINS) / BINS, dim=0).T
    rows, held_out = (_Rows.of(of, strongest, setters, edges) for of in (train, validation))
    weights, log_scales = _regressions(rows, held_out)
    start = ThresholdVar(strongest, setters, edges, weights, log_scales, torch.eye(dim))
    noise = torch.cat([start.noise(batch)[0] for batch in train]).double()
    products = (noise.T @ noise + dim * torch.eye(dim)) / (len(noise) + dim)
    scale = products.diagonal().sqrt()
    root = torch.linalg.cholesky(products / scale / scale[:, None]).float()
    return replace(start, root=root)


def _regressions(known: "_Rows", held_out: "_Rows") -> tuple[Tensor, Tensor]:
    """Fit every coordinate in every bin: (bins, columns, dim) weights, (bins, dim) log scales."""
    dim, count = known.targets.shape[1], known.inputs.shape[1]
    weights, log_scales = torch.zeros(BINS, count, dim), torch.zeros(BINS, dim)
    for d in range(dim):
        prior = Moments.prior(known.targets[:, d].double().var(correction=0).view(1, 1), count, dim)
        for number in range(BINS):
            moments = prior + known.moments(d, number), held_out.moments(d, number)
            regression = best_regression(*moments, choose_lags(*moments))
            chosen = columns(regression.lags, dim, count)
            weights[number, chosen, d] = regression.weights[:, 0].float()
            log_scales[number, d] = 0.5 * regression.covariance[0, 0].log().float()
    return weights, log_scales


@dataclass(frozen=True)
class _Rows:
    """Regressors, targets and bins of all scored targets."""

    inputs: Tensor
    targets: Tensor
    bins: Tensor

    @classmethod
    def of(
        cls, batches: Sequence[Batch], lags: Sequence[int], setters: Tensor, edges: Tensor
    ) -> "_Rows":
        return cls(
            torch.cat([regressors(batch, lags) for batch in batches]),
            torch.cat([batch.target[batch.scored] for batch in batches]),
            torch.cat([bin_of(latest(batch)[:, setters], edges) for batch in batches]),
        )

    def moments(self, d: int, number: int) -> Moments:
        inside = self.bins[:, d] == number
        target = self.targets[inside, d : d + 1]
        ones = torch.ones(len(target))
        return Moments.weighted(self.inputs[inside], target, ones, self.targets.shape[1])
