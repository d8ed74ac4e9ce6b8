"""A VAR that switches between regimes, each with lags of its own: what a closed form misses.

Where the sign of a frame is drawn anew, or one of several dynamics is at work for a while, all
linear correlations may vanish. So lags are looked for in the correlations of squares, and the
regimes are found by expectation maximisation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mimi_dynamics.density.hidden_markov import predicted, scaled
from mimi_dynamics.density.regimes import Chain, Rows, best_start, rounds
from mimi_dynamics.density.regression import Moments, choose_lags
from mimi_dynamics.density.screening import strongest_lags
from mimi_dynamics.density.var import Var, longest_lag, nested
from mimi_dynamics.latents.sequences import Batch

REGIMES = (2, 4)  # numbers of regimes to try; validation chooses
MOST_LAGS = 8
MOST_COLUMNS = 512  # of the regressors; wide latents have fewer lags
SHARE_OF_START = 4  # starts are compared on every fourth clip, which takes a quarter of the time
SHARE_OF_CHOICE = 2  # and lags, and the number of regimes, after rounds on every other clip
ROUNDS_OF_CHOICE = 4  # by which regimes settle on their lags before their numbers are compared


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
        expected = predicted(grid, self.shares, self.transition, self.horizon)
        return (expected * grid).sum(-1).log()[batch.scored] + scale


def fit_switching_var(
    train: list[Batch],
    validation: list[Batch],
    order: int,
    horizon: int,
    known: int,
    generator: torch.Generator,
    *,
    sticky: bool,
) -> SwitchingVar:
    """Fit on train by expectation maximisation; the lags of each regime are the best on validation.

    Args:
        train: batches to fit on.
        validation: batches that choose lags, penalties and the number of regimes.
        order: how many frames may be looked back at most; with 0 this is a mixture of Gaussians.
        horizon: how many frames ahead the targets lie.
        known: number of frames that are known before the first target of a clip.
        generator: draws the first shares of the regimes.
        sticky: whether a regime may last. Earlier targets then tell which one it is, so this must
            be False where the past does not hold them.
    """
    order = min(order, longest_lag(validation) + 1)
    most = min(MOST_LAGS, max(1, MOST_COLUMNS // train[0].target.shape[-1]))
    lags = strongest_lags(train, order, generator, most) if order else ()
    rows, held_out = Rows.of(train, lags), Rows.of(validation, lags)
    tried = [_fit(rows, held_out, n, generator, sticky=sticky and order > 0) for n in REGIMES]
    best = max(tried, key=lambda chain: chain.mean_log_prob(held_out, horizon))
    chain = rounds(rows, best, [regime.lags for regime in best.regimes])
    sums = zip(*_moments(chain, rows, held_out), chain.regimes, strict=True)
    regimes = tuple(nested(fitted, held, of.lags, lags, known) for fitted, held, of in sums)
    return SwitchingVar(regimes, chain.shares, chain.transition, horizon)


def _fit(
    rows: Rows, held_out: Rows, regimes: int, generator: torch.Generator, *, sticky: bool
) -> Chain:
    """Fit a number of regimes to a part, at first with all lags and then with those that help."""
    count = (rows.inputs.shape[1] - 1) // rows.targets.shape[1]
    everywhere = (tuple(range(count)),) * regimes
    chain = best_start(rows.some(SHARE_OF_START), everywhere, generator, sticky=sticky)
    part = rows.some(SHARE_OF_CHOICE)
    chain = rounds(part, chain, everywhere)
    if not count:
        return chain
    lags = tuple(map(choose_lags, *_moments(chain, part, held_out)))
    return rounds(part, chain, lags, ROUNDS_OF_CHOICE)


def _moments(chain: Chain, rows: Rows, held_out: Rows) -> tuple[list[Moments], list[Moments]]:
    """Sum up for each regime on the frames to fit on, and on validation."""
    return (
        rows.moments(chain.expect(rows).shares, prior=True),
        held_out.moments(chain.expect(held_out).shares, prior=False),
    )
