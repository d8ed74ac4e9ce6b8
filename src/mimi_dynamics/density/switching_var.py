"""A VAR that switches between regimes, each with lags of its own: what a closed form misses.

Where the sign of a frame is drawn anew, or one of several dynamics is at work for a while, all
linear correlations may vanish. So lags are looked for in the correlations of squares, and the
regimes are found by expectation maximisation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from mimi_dynamics.density.hidden_markov import filtered, scaled, smoothed
from mimi_dynamics.density.regression import (
    Moments,
    Regression,
    choose_lags,
    columns,
    complete,
    regress,
    regressors,
)
from mimi_dynamics.density.screening import strongest_lags
from mimi_dynamics.density.var import Var, longest_lag, nested
from mimi_dynamics.latents.sequences import Batch, BatchSource

REGIMES = (2, 4)  # numbers of regimes to try; validation chooses
MOST_LAGS = 8
MOST_COLUMNS = 512  # of the regressors; wide latents have fewer lags
MOST_BATCHES = 128  # so few numbers need no more, and more would not fit into memory
STARTS = 4
SHARE_OF_START = 4  # starts are compared on every fourth clip, which takes a quarter of the time
SHARE_OF_CHOICE = 2  # and lags are chosen after rounds on every other clip
ROUNDS_OF_START = 8
MOST_ROUNDS = 20
TOLERANCE = 1e-2  # nats per frame by which a round must raise the likelihood
RIDGE = 1e-4  # until the last round, in which validation chooses
NEGLIGIBLE = 1e-6  # shares below it are 0: sums over denormal numbers took 20 times as long


@dataclass(frozen=True)
class SwitchingVar:
    """A hidden Markov chain of regimes, each of which is a VAR (Hamilton 1989, eq. 3.1 to 4.3).

    Attributes:
        regimes: the VAR of each regime.
        shares: (regimes,) how often each is at work.
        transition: (regimes, regimes) probability of each regime after each other one; None if the
            regime is drawn anew for every frame.
        horizon: how many frames ahead targets lie: of those before t, only targets up to
            t − horizon are known at t.
    """

    regimes: tuple[Var, ...]
    shares: Tensor
    transition: Tensor | None
    horizon: int

    def log_prob(self, batch: Batch) -> Tensor:
        """Give the (scored,) log density of each scored target, in nats."""
        by_regime = torch.stack([regime.log_prob(batch) for regime in self.regimes], 1)
        if self.transition is None:
            return (by_regime + self.shares.log()).logsumexp(1)
        likelihood, scale = scaled(by_regime)
        grid = torch.ones(*batch.scored.shape, len(self.shares))
        grid[batch.scored] = likelihood
        _, known = filtered(grid, self.shares, self.transition)
        ahead = torch.linalg.matrix_power(self.transition, self.horizon)
        start = self.shares.expand(len(known), self.horizon, -1)
        expected = torch.cat([start, known @ ahead], 1)[:, : known.shape[1]]
        return (expected * grid).sum(-1).log()[batch.scored] + scale


@dataclass(frozen=True)
class _Rows:
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
    def of(cls, batches: Sequence[Batch], lags: Sequence[int]) -> "_Rows":
        rows, clips = [], 0
        for batch in (complete(batch, max(lags, default=0)) for batch in batches):
            clip, time = batch.scored.nonzero().T
            rows.append((regressors(batch, lags), batch.target[batch.scored], clip + clips, time))
            clips += len(batch.scored)
        return cls(*(torch.cat(parts) for parts in zip(*rows, strict=True)))

    def some(self, clips: int) -> "_Rows":
        """Give the rows of every `clips`-th clip."""
        kept = self.clip % clips == 0
        if int(kept.sum()) < 2 * self.inputs.shape[1]:
            return self
        return _Rows(
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
class _Expected:
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
class _Chain:
    """What is estimated in each round: see `SwitchingVar`, with a regression for each regime."""

    regimes: tuple[Regression, ...]
    shares: Tensor
    transition: Tensor | None

    def expect(self, rows: _Rows) -> _Expected:
        """Tell which regimes are at work, and the next estimate of their transitions."""
        by_regime = torch.stack([_log_prob(regime, rows) for regime in self.regimes], 1)
        likelihood, scale = scaled(by_regime)
        if self.transition is None:
            joint = likelihood * self.shares
            total = joint.sum(1)
            return _Expected(joint / total[:, None], None, float((total.log() + scale).mean()))
        clips, length = int(rows.clip.max()) + 1, int(rows.time.max()) + 1
        grid = torch.ones(clips, length, len(self.shares))
        grid[rows.clip, rows.time] = likelihood
        totals, known = filtered(grid, self.shares, self.transition)
        shares, transition = smoothed(grid, totals, known, self.transition)
        at = rows.clip, rows.time
        return _Expected(shares[at], transition, float((totals[at].log() + scale).mean()))


def fit_switching_var(
    train: list[Batch] | BatchSource,
    validation: list[Batch],
    order: int,
    horizon: int,
    generator: torch.Generator,
    *,
    sticky: bool,
) -> SwitchingVar:
    """Fit on train by expectation maximisation; the lags of each regime are the best on validation.

    Args:
        train: batches to fit on, of which at most `MOST_BATCHES` are used.
        validation: batches that choose lags and penalties.
        order: how many frames may be looked back at most; with 0 this is a mixture of Gaussians.
        horizon: how many frames ahead the targets lie.
        generator: draws the first shares of the regimes.
        sticky: whether a regime may last. Earlier targets then tell which one it is, so this must
            be False where the past does not hold them.
    """
    some = list(islice(train, 0, None, math.ceil(len(train) / MOST_BATCHES)))
    order = min(order, longest_lag(validation) + 1)
    most = min(MOST_LAGS, max(1, MOST_COLUMNS // some[0].target.shape[-1]))
    lags = strongest_lags(some, order, generator, most) if order else ()
    known, held_out = _Rows.of(some, lags), _Rows.of(validation, lags)
    fitted = [
        _fit(known, held_out, count, generator, sticky=sticky and order > 0) for count in REGIMES
    ]
    chain = max(fitted, key=lambda chain: chain.expect(held_out).log_likelihood)
    regimes = (
        nested(*moments, regime.lags, lags, validation)
        for *moments, regime in zip(*_moments(chain, known, held_out), chain.regimes, strict=True)
    )
    return SwitchingVar(tuple(regimes), chain.shares, chain.transition, horizon)


def _fit(
    known: _Rows, held_out: _Rows, regimes: int, generator: torch.Generator, *, sticky: bool
) -> _Chain:
    """Fit a number of regimes, at first with all lags and then with those that help each."""
    count = (known.inputs.shape[1] - 1) // known.targets.shape[1]
    everywhere = (tuple(range(count)),) * regimes
    chain = _best_start(known.some(SHARE_OF_START), everywhere, generator, sticky=sticky)
    chain = _rounds(known.some(SHARE_OF_CHOICE), chain, everywhere)
    if not count:
        return _rounds(known, chain, everywhere)
    return _rounds(known, chain, tuple(map(choose_lags, *_moments(chain, known, held_out))))


def _moments(chain: _Chain, known: _Rows, held_out: _Rows) -> tuple[list[Moments], list[Moments]]:
    """Sum up for each regime on the frames to fit on, and on validation."""
    return (
        known.moments(chain.expect(known).shares, prior=True),
        held_out.moments(chain.expect(held_out).shares, prior=False),
    )


def _best_start(
    rows: _Rows, lags: Sequence[tuple[int, ...]], generator: torch.Generator, *, sticky: bool
) -> _Chain:
    """Try several random shares of the regimes for a few rounds, and keep the likeliest."""
    starts = []
    for _ in range(STARTS):
        shares = torch.rand(len(rows.targets), len(lags), generator=generator).square()
        even = torch.full((len(lags), len(lags)), 1 / len(lags))
        start = _Expected(shares / shares.sum(1, keepdim=True), even if sticky else None, -math.inf)
        starts.append(_rounds(rows, start, lags, ROUNDS_OF_START))
    return max(starts, key=lambda chain: chain.expect(rows).log_likelihood)


def _rounds(
    rows: _Rows,
    start: "_Chain | _Expected",
    lags: Sequence[tuple[int, ...]],
    most: int = MOST_ROUNDS,
) -> _Chain:
    """Go on until the likelihood rises no more.

    Args:
        rows: the frames to fit on.
        start: from where.
        lags: the lags of each regime, as indices.
        most: the largest number of rounds.
    """
    expected = start if isinstance(start, _Expected) else start.expect(rows)
    for _ in range(most):
        moments = rows.moments(expected.shares, prior=True)
        regimes = (regress(of, own, RIDGE) for of, own in zip(moments, lags, strict=True))
        chain = _Chain(tuple(regimes), expected.shares.mean(0), expected.transition)
        before, expected = expected, chain.expect(rows)
        if expected.log_likelihood - before.log_likelihood < TOLERANCE:
            break
    return chain


def _log_prob(regime: Regression, rows: _Rows) -> Tensor:
    """Give the (rows,) log density of targets under one regime."""
    dim = rows.targets.shape[1]
    chosen = columns(regime.lags, dim, rows.inputs.shape[1])
    residual = rows.targets - rows.inputs[:, chosen] @ regime.weights.float()
    root = torch.linalg.cholesky(regime.covariance).float()
    white = torch.linalg.solve_triangular(root, residual.T, upper=False)
    spread = root.diagonal().log().sum() + dim / 2 * math.log(2 * math.pi)
    return -0.5 * white.square().sum(0) - spread
