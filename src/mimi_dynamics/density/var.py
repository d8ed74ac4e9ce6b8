"""Ridge vector autoregression (VAR) in closed form: the baseline of all heads.

The linear surrogate is simulated from it, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from mimi_dynamics.density.regression import (
    Moments,
    Regression,
    best_regression,
    choose_lags,
    complete,
)
from mimi_dynamics.latents.sequences import Batch

# Most regressors of a VAR: 32 dimensions may look 128 frames back, 512 dimensions 8.
MOST_COLUMNS = 4096
SHARE_KNOWN = 2 / 3


@dataclass(frozen=True)
class Var:
    """x_{t+k} ~ N(b + Σ_i A_i x_{t−i}, covariance), with zeros for frames before the clip.

    Attributes:
        coefficients: (order, dim, dim) matrices A_i, with A_0 for the newest frame first; order 0
            is a Gaussian that does not depend on the past. Zeros stand for lags not chosen.
        intercept: (dim,) vector b.
        covariance: (dim, dim) covariance of the residual on the training frames.
        shorter: a VAR of lower order for targets that lie too early in their clip for this one;
            None if no target does.
    """

    coefficients: Tensor
    intercept: Tensor
    covariance: Tensor
    shorter: "Var | None" = None

    @classmethod
    def of(cls, regression: Regression, lags: Sequence[int]) -> "Var":
        """Make a VAR of a regression on the frames at these lags, where 0 is the newest frame."""
        dim, chosen = len(regression.covariance), [lags[index] for index in regression.lags]
        matrices = regression.weights[:-1].reshape(len(chosen), dim, dim).transpose(1, 2)
        coefficients = matrices.float()
        if chosen != list(range(len(chosen))):
            coefficients = torch.zeros(max(chosen) + 1, dim, dim)
            coefficients[chosen] = matrices.float()
        return cls(coefficients, regression.weights[-1].float(), regression.covariance.float())

    def mean(self, context: Tensor) -> Tensor:
        """Give the (clips, time, dim) expected target at every t, from frames up to t only.

        Args:
            context: (clips, time, dim) frames, of which the first is the start of the clip.
        """
        order = len(self.coefficients)
        if order == 0:
            return self.intercept.expand_as(context)
        past = functional.pad(context.transpose(1, 2), (order - 1, 0))
        kernel = self.coefficients.permute(1, 2, 0).flip(-1)
        return functional.conv1d(past, kernel, self.intercept).transpose(1, 2)

    def log_prob(self, batch: Batch) -> Tensor:
        """Give the (scored,) log density of each scored target, in nats."""
        residual = (batch.target - self.mean(batch.context))[batch.scored]
        normal = torch.distributions.MultivariateNormal(
            torch.zeros_like(self.intercept), covariance_matrix=self.covariance
        )
        log_prob = normal.log_prob(residual)
        if self.shorter is None:
            return log_prob
        known = batch.scored.nonzero()[:, 1] + 1
        return torch.where(known >= len(self.coefficients), log_prob, self.shorter.log_prob(batch))


def fit_var(train: Iterable[Batch], validation: list[Batch], order: int) -> Var:
    """Fit by least squares over the scored targets, with the best ridge penalty on validation.

    Args:
        train: batches to fit on.
        validation: batches that choose the penalty.
        order: number of past frames used; 0 fits only mean and covariance.
    """
    known, held_out = Moments.of(train, order), Moments.of(validation, order)
    return Var.of(best_regression(known, held_out, tuple(range(order))), range(order))


def fit_sparse_var(train: Iterable[Batch], validation: list[Batch], order: int, known: int) -> Var:
    """Fit as `fit_var` does, with the lags that are best on validation.

    A dense VAR of 64 lags would overfit by 0.026 nats/dim where 48,000 frames of 32 dimensions are
    known.

    Args:
        train: batches to fit on.
        validation: batches that choose the lags and the penalty.
        order: how many frames may be looked back at most; 0 fits only mean and covariance.
        known: number of frames that are known before the first target of a clip.
    """
    dim = validation[0].target.shape[-1]
    order = min(order, MOST_COLUMNS // dim, longest_lag(validation) + 1)
    lags = choose_lags(Moments.of(train, order).with_prior(), Moments.of(validation, order))
    longest = max(lags, default=0)
    late, held_out = (
        Moments.of((complete(batch, longest) for batch in of), order) for of in (train, validation)
    )
    return nested(late.with_prior(), held_out, lags, range(order), known)


def nested(
    train: Moments,
    held_out: Moments,
    chosen: tuple[int, ...],
    lags: Sequence[int],
    known: int,
) -> Var:
    """Fit a VAR, and others of ever fewer lags for targets before which the longest is unknown.

    With zeros in place of unknown frames, the covariance would be too large for most targets and
    too small for the early ones.

    Args:
        train: sums over targets before which all lags are known.
        held_out: the like on validation, to choose penalties.
        chosen: the lags of the VAR, as indices of `lags`.
        lags: the lags that were summed up.
        known: number of frames that are known before the first target of a clip.
    """
    best = best_regression(train, held_out, chosen)
    # Sums of single precision are symmetric only up to rounding.
    var = Var.of(replace(best, covariance=(best.covariance + best.covariance.T) / 2), lags)
    if len(var.coefficients) <= known:
        return var
    return replace(var, shorter=nested(train, held_out, chosen[:-1], lags, known))


def longest_lag(batches: list[Batch]) -> int:
    """Give the longest lag that is known before at least `SHARE_KNOWN` of all targets."""
    known = torch.cat([batch.scored.nonzero()[:, 1] for batch in batches])
    return int(known.sort().values[int((1 - SHARE_KNOWN) * len(known))])


@torch.no_grad()
def squared_errors(var: Var, batches: Iterable[Batch], mean: Tensor) -> tuple[Tensor, Tensor]:
    """Give what a VAR leaves of each coordinate of scored targets, and what a constant leaves.

    Args:
        var: predicts the targets.
        batches: of the targets.
        mean: (dim,) the constant.

    Returns:
        Two (scored, dim) tensors of squares.
    """
    left, whole = [], []
    for batch in batches:
        target = batch.target[batch.scored]
        left.append((target - var.mean(batch.context)[batch.scored]).double().square())
        whole.append((target - mean).double().square())
    return torch.cat(left), torch.cat(whole)
