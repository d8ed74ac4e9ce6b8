"""p(target | x_{≤t}): a causal trunk over the full past, and a density head.

A marginal model is the same thing without the past, and a conditional model starts as one.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mimi_dynamics.density.heads import make_head
from mimi_dynamics.density.trunk import STEPS, NoPast, Trunk, feature_count
from mimi_dynamics.density.var import Var
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors


class Whitening(nn.Module):
    """y = L⁻¹ (target − mean), L Lᵀ the targets' covariance; fixed, not trained.

    A residual of the ridge VAR in place of the target made the flow 0.05 nats/dim worse: where the
    density has sharp peaks, as of silence, the VAR's errors blur them.

    Args:
        mean: (dim,) of the training targets.
        covariance: (dim, dim) of the training targets.
    """

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("root", torch.linalg.cholesky(covariance))

    def whiten(self, target: Tensor) -> Tensor:
        """(rows, dim) whitened target."""
        return torch.linalg.solve_triangular(self.root, (target - self.mean).T, upper=False).T

    def colour(self, whitened: Tensor) -> Tensor:
        """Inverse of `whiten`, for any leading dimensions."""
        return whitened @ self.root.T + self.mean

    @property
    def log_determinant(self) -> Tensor:
        """Log |det| of the map from target to whitened target."""
        return -self.root.diagonal().log().sum()


class Predictor(nn.Module):
    """Density of the target given all frames up to t.

    Args:
        whitening: coordinates in which the head works.
        trunk: batch to features of each scored target, causal; or `NoPast`.
        head: features to a distribution over the whitened target.
    """

    def __init__(self, whitening: Whitening, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.whitening = whitening
        self.trunk = trunk
        self.head = head

    def log_prob(self, batch: Batch) -> Tensor:
        """(scored,) log density of each scored target, in nats."""
        target = self.whitening.whiten(batch.target[batch.scored])
        density = self.head(self.trunk.features(batch))
        return density.log_prob(target) + self.whitening.log_determinant

    def log_prob_by_coordinate(self, batch: Batch) -> Tensor:
        """(scored, dim) terms of the chain rule, log p(x_d | x_<d, past), of `autoregressive`.

        Whitening mixes a coordinate only with those before it, and so leaves the terms apart.
        """
        target = self.whitening.whiten(batch.target[batch.scored])
        terms = self.head(self.trunk.features(batch)).log_prob_by_coordinate(target)
        return terms - self.whitening.root.diagonal().log()

    def forward(self, batch: Batch) -> Tensor:
        """(scored,) negative log density: the loss of each scored target."""
        return -self.log_prob(batch)

    def sample(self, batch: Batch, samples: int) -> Tensor:
        """(samples, scored, dim) independent draws of each scored target."""
        drawn = self.head(self.trunk.features(batch)).sample((samples,))
        return self.whitening.colour(drawn)

    def mean_and_spread(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(scored, dim) mean and (scored,) summed variance, for heads that know theirs."""
        distribution = self.head(self.trunk.features(batch))
        spread = distribution.variance @ self.whitening.root.square().sum(0)
        return self.whitening.colour(distribution.mean), spread


def make_marginal(gaussian: Var, head: str, width: int, components: int) -> Predictor:
    """Build a density of the target alone, of the same family as `make_conditional`.

    Args:
        gaussian: the VAR of order 0: mean and covariance of the target.
        head: a key of `heads.HEADS`.
        width: hidden units of trunk and head.
        components: mixture components of the head.
    """
    dim = len(gaussian.intercept)
    no_past = NoPast(feature_count(dim, width))
    density = make_head(head, dim, no_past.width, width, components, own_features=len(STEPS))
    return Predictor(Whitening(gaussian.intercept, gaussian.covariance), no_past, density)


def make_conditional(
    marginal: Predictor, var: Var, width: int, dropout: float, context_frames: int = 0
) -> Predictor:
    """Build a density given the past which, before it is trained, is the marginal.

    Args:
        marginal: of the same width; it is copied.
        var: the ridge VAR whose forecast the head is told.
        width: hidden units of the trunk.
        dropout: of the trunk, in training.
        context_frames: how many frames the trunk looks back; 0 for all.
    """
    trunk = Trunk(var, width, dropout, context_frames)
    return Predictor(copy.deepcopy(marginal.whitening), trunk, copy.deepcopy(marginal.head))


def save_predictor(predictor: Predictor, path: Path, info: Mapping[str, Any]) -> None:
    """Write weights and what is needed to build the model again.

    Args:
        predictor: a conditional density.
        path: of the safetensors file.
        info: `head`, `width`, `components`, `context_frames`, and what else a reader should know.
    """
    order, dim, _ = predictor.trunk.forecast.coefficients.shape
    write_tensors(path, predictor.state_dict(), {"order": order, "dim": dim, **info})


def load_predictor(path: Path) -> tuple[Predictor, dict[str, Any]]:
    """Read what `save_predictor` wrote: the model, ready to score and sample, and its `info`."""
    tensors, info = read_tensors(path)
    dim, width = info["dim"], info["width"]
    var = Var(torch.zeros(info["order"], dim, dim), torch.zeros(dim), torch.eye(dim))
    marginal = make_marginal(var, info["head"], width, info["components"])
    predictor = make_conditional(marginal, var, width, 0.0, info["context_frames"])
    predictor.load_state_dict(tensors)
    return predictor.eval(), info
