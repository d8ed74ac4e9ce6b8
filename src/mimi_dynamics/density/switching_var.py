"""A VAR that switches between regimes, each with lags of its own: what a closed form misses.

Where the sign of a frame is drawn anew, or one of several dynamics is at work for a while, all
linear correlations may vanish. So lags are looked for in the correlations of squares, and the
regimes are found by expectation maximisation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mimi_dynamics.density.hidden_markov import filtered, scaled
from mimi_dynamics.density.regimes import Chain, Rows, best_start, rounds
from mimi_dynamics.density.regression import Moments, choose_lags
from mimi_dynamics.density.screening import evenly_chosen, strongest_lags
from mimi_dynamics.density.var import Var, longest_lag, nested
from mimi_dynamics.latents.sequences import Batch, BatchSource

REGIMES = (2, 4)  # numbers of regimes to try; validation chooses
MOST_LAGS = 8
MOST_COLUMNS = 512  # of the regressors; wide latents have fewer lags
SHARE_OF_START = 4  # starts are compared on every fourth clip, which takes a quarter of the time
SHARE_OF_CHOICE = 2  # and lags are chosen after rounds on every other clip


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
        train: batches to fit on, of which some are used; see `evenly_chosen`.
        validation: batches that choose lags and penalties.
        order: how many frames may be looked back at most; with 0 this is a mixture of Gaussians.
        horizon: how many frames ahead the targets lie.
        generator: draws the first shares of the regimes.
        sticky: whether a regime may last. Earlier targets then tell which one it is, so this must
            be False where the past does not hold them.
    """
    some = evenly_chosen(train)
    order = min(order, longest_lag(validation) + 1)
    most = min(MOST_LAGS, max(1, MOST_COLUMNS // some[0].target.shape[-1]))
    lags = strongest_lags(some, order, generator, most) if order else ()
    known, held_out = Rows.of(some, lags), Rows.of(validation, lags)
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
    known: Rows, held_out: Rows, regimes: int, generator: torch.Generator, *, sticky: bool
) -> Chain:
    """Fit a number of regimes, at first with all lags and then with those that help each."""
    count = (known.inputs.shape[1] - 1) // known.targets.shape[1]
    everywhere = (tuple(range(count)),) * regimes
    chain = best_start(known.some(SHARE_OF_START), everywhere, generator, sticky=sticky)
    chain = rounds(known.some(SHARE_OF_CHOICE), chain, everywhere)
    if not count:
        return rounds(known, chain, everywhere)
    return rounds(known, chain, tuple(map(choose_lags, *_moments(chain, known, held_out))))


def _moments(chain: Chain, known: Rows, held_out: Rows) -> tuple[list[Moments], list[Moments]]:
    """Sum up for each regime on the frames to fit on, and on validation."""
    return (
        known.moments(chain.expect(known).shares, prior=True),
        held_out.moments(chain.expect(held_out).shares, prior=False),
    )
