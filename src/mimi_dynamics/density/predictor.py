"""p(target | x_{≤t}): a causal trunk over the full past, and a density head.

A marginal model is built in the same way but without the past, and a conditional model starts as a
copy of a marginal one.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mimi_dynamics.density.heads import make_head
from mimi_dynamics.density.trunk import STEPS, AnyTrunk, NoPast, Trunk, feature_count
from mimi_dynamics.density.var import Var
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors


class Whitening(nn.Module):
    """y = L⁻¹ (target − mean), where L Lᵀ is the covariance of the targets; it is not trained.

    Using the residual of the ridge VAR in place of the target made the flow 0.05 nats/dim worse:
    where the density has sharp peaks, as for silence, the errors of the VAR blur them.

    Args:
        mean: (dim,) mean of the training targets.
        covariance: (dim, dim) covariance of the training targets.
    """

    mean: Tensor
    root: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("root", torch.linalg.cholesky(covariance))

    def whiten(self, target: Tensor) -> Tensor:
        """Whiten a (rows, dim) target."""
        return torch.linalg.solve_triangular(self.root, (target - self.mean).T, upper=False).T

    def colour(self, whitened: Tensor) -> Tensor:
        """Undo `whiten`, for any leading dimensions."""
        return whitened @ self.root.T + self.mean

    @property
    def log_determinant(self) -> Tensor:
        """The log |det| of the map from the target to the whitened target."""
        return -self.root.diagonal().log().sum()


class Predictor(nn.Module):
    """The density of the target given all frames up to t.

    Args:
        whitening: the coordinates in which the head works.
        trunk: gives the features of each scored target of a batch from its past alone; or `NoPast`.
        head: maps features to a distribution over the whitened target.
    """

    def __init__(self, whitening: Whitening, trunk: AnyTrunk, head: nn.Module) -> None:
        super().__init__()
        self.whitening = whitening
        self.trunk = trunk
        self.head = head

    def log_prob(self, batch: Batch) -> Tensor:
        """Give the (scored,) log density of each scored target, in nats."""
        target = self.whitening.whiten(batch.target[batch.scored])
        density = self.head(self.trunk.features(batch))
        return density.log_prob(target) + self.whitening.log_determinant

    def log_prob_by_coordinate(self, batch: Batch) -> Tensor:
        """Give the (scored, dim) terms log p(x_d | x_<d, past) of the chain rule, in nats.

        Only the head `autoregressive` has them. Whitening mixes a coordinate only with those before
        it, so that the terms stay separate.
        """
        target = self.whitening.whiten(batch.target[batch.scored])
        terms = self.head(self.trunk.features(batch)).log_prob_by_coordinate(target)
        return terms - self.whitening.root.diagonal().log()

    def forward(self, batch: Batch) -> Tensor:
        """Give the (scored,) negative log density, which is the loss of each scored target."""
        return -self.log_prob(batch)

    def sample(self, batch: Batch, samples: int) -> Tensor:
        """Draw (samples, scored, dim) independent samples of each scored target.

        Args:
            batch: the batch, whose contexts are known.
            samples: number of samples of each target.
        """
        drawn = self.head(self.trunk.features(batch)).sample((samples,))
        return self.whitening.colour(drawn)

    def mean_and_spread(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give the (scored, dim) mean and the (scored,) variance summed over coordinates.

        The head must give distributions with a known mean and variance.
        """
        distribution = self.head(self.trunk.features(batch))
        spread = distribution.variance @ self.whitening.root.square().sum(0)
        return self.whitening.colour(distribution.mean), spread


def make_marginal(gaussian: Var, head: str, width: int, components: int) -> Predictor:
    """Build a density of the target alone, of the same family as `make_conditional`.

    Args:
        gaussian: the VAR of order 0, which holds the mean and covariance of the target.
        head: a key of `heads.HEADS`.
        width: number of hidden units of trunk and head.
        components: number of mixture components of the head.
    """
    dim = len(gaussian.intercept)
    no_past = NoPast(feature_count(dim, width))
    density = make_head(head, dim, no_past.width, width, components, own_features=len(STEPS))
    return Predictor(Whitening(gaussian.intercept, gaussian.covariance), no_past, density)


def make_conditional(
    marginal: Predictor, var: Var, width: int, dropout: float, context_frames: int = 0
) -> Predictor:
    """Build a density given the past which, before it is trained, equals the marginal.

    Args:
        marginal: a marginal model of the same width; it is copied.
        var: the ridge VAR whose forecast the head is given.
        width: number of hidden units of the trunk.
        dropout: dropout rate of the trunk in training.
        context_frames: how many frames the trunk looks back; 0 means all.
    """
    trunk = Trunk(var, width, dropout, context_frames)
    return Predictor(copy.deepcopy(marginal.whitening), trunk, copy.deepcopy(marginal.head))


def save_predictor(predictor: Predictor, path: Path, info: Mapping[str, Any]) -> None:
    """Write the weights and the settings that are needed to build the model again.

    Args:
        predictor: a conditional density.
        path: the safetensors file to write.
        info: `head`, `width`, `components`, `context_frames`, and whatever else a reader should
            know.
    """
    if not isinstance(predictor.trunk, Trunk):
        raise TypeError(f"{type(predictor.trunk).__name__} is not the trunk of `make_conditional`")
    order, dim, _ = predictor.trunk.forecast.coefficients.shape
    write_tensors(path, predictor.state_dict(), {"order": order, "dim": dim, **info})


def load_predictor(path: Path) -> tuple[Predictor, dict[str, Any]]:
    """Read what `save_predictor` wrote.

    Returns:
        The model, ready to score and sample, and its `info`.
    """
    tensors, info = read_tensors(path)
    dim, width = info["dim"], info["width"]
    var = Var(torch.zeros(info["order"], dim, dim), torch.zeros(dim), torch.eye(dim))
    marginal = make_marginal(var, info["head"], width, info["components"])
    predictor = make_conditional(marginal, var, width, 0.0, info["context_frames"])
    predictor.load_state_dict(tensors)
    return predictor.eval(), info
