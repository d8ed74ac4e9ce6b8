"""Gaussian linear regression on earlier frames, from sums alone, with lags chosen on validation.

The sums (moments) are all that least squares and the mean log-likelihood need. So frames are
visited once, however many choices of lags are compared.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mimi_dynamics.latents.sequences import Batch

# Ridge penalties to try, per frame and in units of the whitened variance.
RIDGE_GRID = tuple(10.0**power for power in range(-4, 4))
# The penalty under which lags are compared; the grid is searched for the chosen ones alone.
RIDGE_OF_CHOICE = 0.01
LEAST_HELD_OUT = 8  # frames without which no lag is chosen
JITTER = 1e-6  # added to the variance of residuals


@dataclass(frozen=True)
class Moments:
    """Weighted sums over targets y and regressors u, which are earlier frames and a constant 1.

    Attributes:
        gram: (columns, columns) Σ w u uᵀ, float64; the last column is that of the constant.
        cross: (columns, dim) Σ w u yᵀ.
        scatter: (dim, dim) Σ w y yᵀ.
        frame_dim: number of coordinates of an earlier frame; that of the target may be less.
    """

    gram: Tensor
    cross: Tensor
    scatter: Tensor
    frame_dim: int

    @classmethod
    def of(cls, batches: Iterable[Batch], order: int) -> "Moments":
        """Sum over the scored targets of all batches, with the frames at lags 0 to order − 1."""
        total = None
        for batch in batches:
            inputs, targets = regressors(batch, range(order)), batch.target[batch.scored]
            weights, dim = torch.ones(len(targets)), targets.shape[1]
            sums = cls.weighted(inputs.double(), targets.double(), weights, dim)
            total = sums if total is None else total + sums
        assert total is not None
        return total

    @classmethod
    def weighted(
        cls, inputs: Tensor, targets: Tensor, weights: Tensor, frame_dim: int
    ) -> "Moments":
        """Sum over (rows, columns) inputs and (rows, dim) targets with (rows,) weights."""
        scaled = targets * weights[:, None].to(targets.dtype)
        gram = inputs.T @ (inputs * weights[:, None].to(inputs.dtype))
        cross, scatter = (inputs.T @ scaled).double(), (targets.T @ scaled).double()
        return cls(gram.double(), cross, scatter, frame_dim)

    def __add__(self, other: "Moments") -> "Moments":
        """Give the sums over both sets of frames."""
        sums = self.gram + other.gram, self.cross + other.cross, self.scatter + other.scatter
        return Moments(*sums, self.frame_dim)

    @classmethod
    def prior(cls, covariance: Tensor, columns: int, frame_dim: int) -> "Moments":
        """As if a few more frames had been seen: the usual targets after a past that tells nothing.

        With it, a regression on few frames is near the density of all targets, and never singular.

        Args:
            covariance: (dim, dim) of all targets.
            columns: number of regressors, that of the constant included.
            frame_dim: number of coordinates of an earlier frame, and of frames as if seen.
        """
        gram = frame_dim * torch.eye(columns, dtype=torch.float64)
        cross = torch.zeros(columns, len(covariance), dtype=torch.float64)
        return cls(gram, cross, frame_dim * covariance, frame_dim)

    def with_prior(self) -> "Moments":
        """Add the prior that the covariance of these targets gives."""
        mean = self.cross[-1] / self.count
        covariance = self.scatter / self.count - torch.outer(mean, mean)
        return self + Moments.prior(covariance, len(self.gram), self.frame_dim)

    @property
    def count(self) -> Tensor:
        """The sum of the weights."""
        return self.gram[-1, -1]

    @property
    def dim(self) -> int:
        """The number of coordinates of a target."""
        return self.cross.shape[1]

    @property
    def lags(self) -> int:
        """The number of earlier frames among the regressors."""
        return (len(self.gram) - 1) // self.frame_dim


@dataclass(frozen=True)
class Regression:
    """y ~ N(weightsᵀ u, covariance), where u are some of the frames of `Moments` and a constant 1.

    Attributes:
        lags: which of the frames, in ascending order.
        weights: (len(lags) * frame_dim + 1, dim) float64.
        covariance: (dim, dim) float64, of the residual.
    """

    lags: tuple[int, ...]
    weights: Tensor
    covariance: Tensor

    def mean_log_prob(self, of: Moments) -> float:
        """Give the weighted mean log density in nats of the targets that were summed up."""
        count = of.count.clamp(min=1)  # The frames of a rare regime may weigh next to nothing.
        errors = _residual(of, columns(self.lags, of.frame_dim, len(of.gram)), self.weights) / count
        root = torch.linalg.cholesky(self.covariance)
        squared = torch.cholesky_solve(errors, root).diagonal().sum()
        spread = 2 * root.diagonal().log().sum() + of.dim * math.log(2 * math.pi)
        return float(-0.5 * (spread + squared))


def columns(lags: Sequence[int], dim: int, count: int) -> Tensor:
    """Give the indices of some frames of `dim` coordinates, and of the constant, among `count`."""
    frames = torch.tensor(lags, dtype=torch.int64)[:, None] * dim
    return torch.cat([(frames + torch.arange(dim)).flatten(), torch.tensor([count - 1])])


def _residual(moments: Moments, chosen: Tensor, weights: Tensor) -> Tensor:
    """Give (dim, dim) sums of products of residuals."""
    explained = weights.T @ moments.cross[chosen]
    gram = moments.gram[chosen][:, chosen]
    return moments.scatter - explained - explained.T + weights.T @ gram @ weights


def regress(moments: Moments, lags: Sequence[int], ridge: float) -> Regression:
    """Minimise the squared error plus `ridge` times the squared weights, both per frame.

    The intercept is not penalised.
    """
    chosen = columns(lags, moments.frame_dim, len(moments.gram))
    penalty = torch.full((len(chosen),), ridge * float(moments.count), dtype=torch.float64)
    penalty[-1] = 0
    gram = moments.gram[chosen][:, chosen] + torch.diag(penalty)
    weights = torch.linalg.solve(gram, moments.cross[chosen])
    covariance = _residual(moments, chosen, weights) / moments.count
    covariance += JITTER * torch.eye(moments.dim, dtype=torch.float64)
    return Regression(tuple(lags), weights, covariance)


def best_regression(known: Moments, held_out: Moments, lags: Sequence[int]) -> Regression:
    """Choose the penalty that is best on held-out frames, from `RIDGE_GRID`."""
    tries = [regress(known, lags, ridge) for ridge in (RIDGE_GRID if lags else RIDGE_GRID[:1])]
    return max(tries, key=lambda tried: tried.mean_log_prob(held_out))


def choose_lags(known: Moments, held_out: Moments) -> tuple[int, ...]:
    """Add lags one by one, each the best addition on held-out frames, until none helps.

    Args:
        known: sums over the frames to fit on.
        held_out: sums over other frames.

    Returns:
        The chosen lags in ascending order; there may be none.
    """

    def held_out_score(lags: tuple[int, ...]) -> float:
        return regress(known, lags, RIDGE_OF_CHOICE).mean_log_prob(held_out)

    chosen: tuple[int, ...] = ()
    if held_out.count < LEAST_HELD_OUT:
        return chosen
    reached = held_out_score(chosen)
    while len(chosen) < known.lags:
        others = [lag for lag in range(known.lags) if lag not in chosen]
        scores = {
            more: held_out_score(more) for more in (tuple(sorted((*chosen, n))) for n in others)
        }
        best = max(scores, key=lambda lags: scores[lags])
        if scores[best] <= reached:
            break
        chosen, reached = best, scores[best]
    return chosen


def complete(batch: Batch, lag: int) -> Batch:
    """Give the same batch, but score only targets before which the frame at `lag` is known."""
    early = torch.arange(batch.scored.shape[1]) < lag
    scored = batch.scored & ~early
    return batch._replace(scored=scored, frame=batch.frame[scored[batch.scored]])


def regressors(batch: Batch, lags: Sequence[int]) -> Tensor:
    """Give (scored, len(lags) * dim + 1) frames that many steps before each t, and a constant 1.

    Zeros stand for frames before the start of a clip.
    """
    longest = max(lags, default=0)
    past = functional.pad(batch.context, (0, 0, longest, 0))
    length = batch.context.shape[1]
    frames = [past[:, longest - lag : longest - lag + length][batch.scored] for lag in lags]
    return torch.cat([*frames, torch.ones(int(batch.scored.sum()), 1)], dim=1)
