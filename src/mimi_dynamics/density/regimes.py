"""Regimes of a time series, by expectation maximisation: which is at work when, and its regression.

One round tells the share of every regime in every frame, and fits each regime to its shares.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mimi_dynamics.density.hidden_markov import filtered, predicted, scaled, smoothed
from mimi_dynamics.density.regression import (
    Moments,
    Regression,
    columns,
    complete,
    regress,
    regressors,
)
from mimi_dynamics.latents.sequences import Batch

STARTS = 4
ROUNDS_OF_START = 8
MOST_ROUNDS = 20
TOLERANCE = 1e-2  # nats per frame by which a round must raise the likelihood
RIDGE = 1e-4  # of the regressions of each round
NEGLIGIBLE = 1e-6  # shares below it count as 0, which leaves few frames for each regime
PIECE = 128  # frames: the recursions take as many steps as the longest piece of a clip has


@dataclass(frozen=True)
class Rows:
    """Targets and regressors of all scored targets that know their longest lag.

    Attributes:
        inputs: (rows, columns) frames at the candidate lags, and a constant 1.
        targets: (rows, dim).
        clip: (rows,) index of the piece of at most `PIECE` frames into which clips are cut.
        time: (rows,) index within the piece.
    """

    inputs: Tensor
    targets: Tensor
    clip: Tensor
    time: Tensor

    @classmethod
    def of(cls, batches: Sequence[Batch], lags: Sequence[int]) -> "Rows":
        """Gather them from all batches, with the frames at some lags as regressors."""
        rows, pieces = [], 0
        for batch in (complete(batch, max(lags, default=0)) for batch in batches):
            clip, time = batch.scored.nonzero().T
            of_clip = -(-batch.scored.shape[1] // PIECE)
            piece = pieces + clip * of_clip + time // PIECE
            rows.append((regressors(batch, lags), batch.target[batch.scored], piece, time % PIECE))
            pieces += len(batch.scored) * of_clip
        inputs, targets, piece, time = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return cls(inputs, targets, piece.unique(return_inverse=True)[1], time)

    def some(self, clips: int) -> "Rows":
        """Give the rows of every `clips`-th clip."""
        kept = self.clip % clips == 0
        if int(kept.sum()) < 2 * self.inputs.shape[1]:
            return self
        return Rows(
            self.inputs[kept], self.targets[kept], self.clip[kept] // clips, self.time[kept]
        )

    def grid(self, likelihood: Tensor) -> Tensor:
        """Arrange (rows, regimes) likelihoods as (clips, time, regimes), with 1 where none is."""
        clips, length = int(self.clip.max()) + 1, int(self.time.max()) + 1
        grid = torch.ones(clips, length, likelihood.shape[1])
        grid[self.clip, self.time] = likelihood
        return grid

    def moments(self, shares: Tensor, *, prior: bool) -> list[Moments]:
        """Sum up for each regime, weighted with its (rows, regimes) shares."""
        dim, sums = self.targets.shape[1], []
        for of in shares.T:
            kept = of >= NEGLIGIBLE
            sums.append(Moments.weighted(self.inputs[kept], self.targets[kept], of[kept], dim))
        if not prior:
            return sums
        covariance = torch.cov(self.targets.double().T, correction=0).view(dim, dim)
        usual = Moments.prior(covariance, self.inputs.shape[1], dim)
        return [usual + of for of in sums]


@dataclass(frozen=True)
class Expected:
    """What is expected of the regimes, given all targets.

    Attributes:
        shares: (rows, regimes) the probability of each regime for each target.
        transition: (regimes, regimes) the next estimate of the transitions, if there are any.
        log_likelihood: in nats per frame.
    """

    shares: Tensor
    transition: Tensor | None
    log_likelihood: float


@dataclass(frozen=True)
class Chain:
    """What is estimated in each round: see `SwitchingVar`, with a regression for each regime."""

    regimes: tuple[Regression, ...]
    shares: Tensor
    transition: Tensor | None

    def expect(self, rows: Rows) -> Expected:
        """Tell which regimes are at work, and the next estimate of their transitions."""
        likelihood, scale = self._likelihood(rows)
        if self.transition is None:
            joint = likelihood * self.shares
            total = joint.sum(1)
            return Expected(joint / total[:, None], None, float((total.log() + scale).mean()))
        grid = rows.grid(likelihood)
        totals, known = filtered(grid, self.shares, self.transition)
        shares, transition = smoothed(grid, totals, known, self.transition)
        at = rows.clip, rows.time
        return Expected(shares[at], transition, float((totals[at].log() + scale).mean()))

    def mean_log_prob(self, rows: Rows, horizon: int) -> float:
        """Give the mean log density in nats, given only targets known `horizon` frames before."""
        likelihood, scale = self._likelihood(rows)
        regimes = self.shares
        if self.transition is not None:
            grid = rows.grid(likelihood)
            regimes = predicted(grid, self.shares, self.transition, horizon)[rows.clip, rows.time]
        return float(((likelihood * regimes).sum(1).log() + scale).double().mean())

    def _likelihood(self, rows: Rows) -> tuple[Tensor, Tensor]:
        return scaled(torch.stack([_log_prob(regime, rows) for regime in self.regimes], 1))


def best_start(
    rows: Rows, lags: Sequence[tuple[int, ...]], generator: torch.Generator, *, sticky: bool
) -> Chain:
    """Try several random shares of the regimes for a few rounds, and keep the likeliest."""
    starts = []
    for _ in range(STARTS):
        shares = torch.rand(len(rows.targets), len(lags), generator=generator).square()
        even = torch.full((len(lags), len(lags)), 1 / len(lags))
        start = Expected(shares / shares.sum(1, keepdim=True), even if sticky else None, -math.inf)
        starts.append(rounds(rows, start, lags, ROUNDS_OF_START))
    return max(starts, key=lambda chain: chain.expect(rows).log_likelihood)


def rounds(
    rows: Rows,
    start: "Chain | Expected",
    lags: Sequence[tuple[int, ...]],
    most: int = MOST_ROUNDS,
) -> Chain:
    """Go on until the likelihood rises no more.

    Args:
        rows: the frames to fit on.
        start: from where.
        lags: the lags of each regime, as indices.
        most: the largest number of rounds.
    """
    expected = start if isinstance(start, Expected) else start.expect(rows)
    for _ in range(most):
        moments = rows.moments(expected.shares, prior=True)
        regimes = (regress(of, own, RIDGE) for of, own in zip(moments, lags, strict=True))
        chain = Chain(tuple(regimes), expected.shares.mean(0), expected.transition)
        before, expected = expected, chain.expect(rows)
        if expected.log_likelihood - before.log_likelihood < TOLERANCE:
            break
    return chain


def _log_prob(regime: Regression, rows: Rows) -> Tensor:
    """Give the (rows,) log density of targets under one regime."""
    dim = rows.targets.shape[1]
    chosen = columns(regime.lags, dim, rows.inputs.shape[1])
    root = torch.linalg.cholesky(regime.covariance)
    whiten = torch.linalg.inv(root).T
    weights = torch.zeros(rows.inputs.shape[1], dim)  # Copies of some columns took twice as long.
    weights[chosen] = (regime.weights @ whiten).float()
    white = rows.targets @ whiten.float() - rows.inputs @ weights
    spread = root.diagonal().log().sum().float() + dim / 2 * math.log(2 * math.pi)
    return -0.5 * white.square().sum(1) - spread
