"""Regimes of a time series, by expectation maximisation: which is at work when, and its regression.

One round tells the share of every regime in every frame, and fits each regime to its shares.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mimi_dynamics.density.hidden_markov import filtered, scaled, smoothed
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
NEGLIGIBLE = 1e-6  # shares below it are 0: sums over denormal numbers took 20 times as long


@dataclass(frozen=True)
class Rows:
    """Targets and regressors of all scored targets that know their longest lag.

    Attributes:
        inputs: (rows, columns) frames at the candidate lags, and a constant 1.
        targets: (rows, dim).
        clip: (rows,) index of the clip.
        time: (rows,) index within the clip.
    """

    inputs: Tensor
    targets: Tensor
    clip: Tensor
    time: Tensor

    @classmethod
    def of(cls, batches: Sequence[Batch], lags: Sequence[int]) -> "Rows":
        """Gather them from all batches, with the frames at some lags as regressors."""
        rows, clips = [], 0
        for batch in (complete(batch, max(lags, default=0)) for batch in batches):
            clip, time = batch.scored.nonzero().T
            rows.append((regressors(batch, lags), batch.target[batch.scored], clip + clips, time))
            clips += len(batch.scored)
        return cls(*(torch.cat(parts) for parts in zip(*rows, strict=True)))

    def some(self, clips: int) -> "Rows":
        """Give the rows of every `clips`-th clip."""
        kept = self.clip % clips == 0
        if int(kept.sum()) < 2 * self.inputs.shape[1]:
            return self
        return Rows(
            self.inputs[kept], self.targets[kept], self.clip[kept] // clips, self.time[kept]
        )

    def moments(self, shares: Tensor, *, prior: bool) -> list[Moments]:
        """Sum up for each regime, weighted with its (rows, regimes) shares."""
        kept = torch.where(shares < NEGLIGIBLE, 0, shares)
        dim = self.targets.shape[1]
        sums = [Moments.weighted(self.inputs, self.targets, of, dim) for of in kept.T]
        if not prior:
            return sums
        usual = Moments.prior(self.targets, self.inputs.shape[1], dim)
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
        by_regime = torch.stack([_log_prob(regime, rows) for regime in self.regimes], 1)
        likelihood, scale = scaled(by_regime)
        if self.transition is None:
            joint = likelihood * self.shares
            total = joint.sum(1)
            return Expected(joint / total[:, None], None, float((total.log() + scale).mean()))
        clips, length = int(rows.clip.max()) + 1, int(rows.time.max()) + 1
        grid = torch.ones(clips, length, len(self.shares))
        grid[rows.clip, rows.time] = likelihood
        totals, known = filtered(grid, self.shares, self.transition)
        shares, transition = smoothed(grid, totals, known, self.transition)
        at = rows.clip, rows.time
        return Expected(shares[at], transition, float((totals[at].log() + scale).mean()))


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
    residual = rows.targets - rows.inputs[:, chosen] @ regime.weights.float()
    root = torch.linalg.cholesky(regime.covariance).float()
    white = torch.linalg.solve_triangular(root, residual.T, upper=False)
    spread = root.diagonal().log().sum() + dim / 2 * math.log(2 * math.pi)
    return -0.5 * white.square().sum(0) - spread
