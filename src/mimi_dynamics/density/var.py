"""Ridge vector autoregression (VAR) in closed form: the baseline of all heads.

The linear surrogate is simulated from it, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mimi_dynamics.latents.sequences import Batch

# Ridge penalties to try, per frame and in units of the whitened variance.
RIDGE_GRID = tuple(10.0**power for power in range(-4, 4))


@dataclass(frozen=True)
class Var:
    """x_{t+k} ~ N(b + Σ_i A_i x_{t−i}, covariance), with zeros for frames before the clip.

    Attributes:
        coefficients: (order, dim, dim) matrices A_i, with A_0 for the newest frame first; order 0
            is a Gaussian that does not depend on the past.
        intercept: (dim,) vector b.
        covariance: (dim, dim) covariance of the residual on the training frames.
    """

    coefficients: Tensor
    intercept: Tensor
    covariance: Tensor

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
        return normal.log_prob(residual)


def fit_var(train: Iterable[Batch], validation: list[Batch], order: int) -> Var:
    """Fit by least squares over the scored targets, with the best ridge penalty on validation.

    Args:
        train: batches to fit on.
        validation: batches that choose the penalty from `RIDGE_GRID`.
        order: number of past frames used; 0 fits only mean and covariance.
    """
    dim = validation[0].target.shape[-1]
    gram = torch.zeros(order * dim + 1, order * dim + 1, dtype=torch.float64)
    moment = torch.zeros(order * dim + 1, dim, dtype=torch.float64)
    scatter = torch.zeros(dim, dim, dtype=torch.float64)
    for batch in train:
        inputs, targets = _regressors(batch, order), batch.target[batch.scored].double()
        gram += inputs.T @ inputs
        moment += inputs.T @ targets
        scatter += targets.T @ targets
    candidates = [_solve(gram, moment, scatter, ridge, order) for ridge in RIDGE_GRID]
    if order == 0:
        return candidates[0]
    scores = [sum(var.log_prob(b).sum().item() for b in validation) for var in candidates]
    return candidates[int(np.argmax(scores))]


def _regressors(batch: Batch, order: int) -> Tensor:
    """Give (scored, order * dim + 1) float64 inputs: the newest frames first, then a constant 1."""
    past = functional.pad(batch.context, (0, 0, max(order - 1, 0), 0))
    length = batch.context.shape[1]
    lags = [past[:, order - 1 - i : order - 1 - i + length][batch.scored] for i in range(order)]
    ones = torch.ones(int(batch.scored.sum()), 1)
    return torch.cat([*lags, ones], dim=1).double()


def _solve(gram: Tensor, moment: Tensor, scatter: Tensor, ridge: float, order: int) -> Var:
    count, dim = gram[-1, -1], moment.shape[1]
    penalty = torch.full((len(gram),), ridge * float(count), dtype=torch.float64)
    penalty[-1] = 0  # the intercept is not penalised
    weights = torch.linalg.solve(gram + torch.diag(penalty), moment)
    cross = weights.T @ moment
    covariance = (scatter - cross - cross.T + weights.T @ gram @ weights) / count
    covariance += 1e-6 * torch.eye(dim, dtype=torch.float64)
    coefficients = weights[:-1].reshape(order, dim, dim).transpose(1, 2)
    return Var(coefficients.float(), weights[-1].float(), covariance.float())
