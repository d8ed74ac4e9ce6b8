"""p(target | x_{≤t}): a ridge VAR, a causal trunk over the full past, and a density head.

The head models the VAR's residual, whitened: so every head starts as good as the linear floor and
spends its capacity on what is beyond it. A marginal model is the same thing without the past.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mimi_dynamics.heads import make_head
from mimi_dynamics.sequences import Batch
from mimi_dynamics.tensors import read_tensors, write_tensors
from mimi_dynamics.var import Var


class Trunk(nn.Module):
    """A causal recurrent summary of all frames up to t (GRU, Cho et al. 2014).

    Args:
        dim: coordinates of a frame.
        width: features of the summary.
        dropout: share of features dropped in training.
    """

    def __init__(self, dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.inputs = nn.Sequential(nn.Linear(dim, width), nn.SiLU())
        self.dropout = nn.Dropout(dropout)
        self.recurrence = nn.GRU(width, width, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, frames: Tensor) -> Tensor:
        """(clips, time, width) features from frames of (clips, time, dim)."""
        return self.step(frames, None)[0]

    def step(self, frames: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Go on from where `state` left off: features of these frames, and the new state."""
        inputs = self.inputs(frames)
        past, state = self.recurrence(self.dropout(inputs), state)
        return self.dropout(self.norm(inputs + past)), state


class NoPast(nn.Module):
    """The trunk of a marginal model: the same learned features whatever the past.

    Args:
        width: features of the summary.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(width))

    def forward(self, frames: Tensor) -> Tensor:
        """(clips, time, width) the constant features for frames of (clips, time, dim)."""
        return self.features.expand(*frames.shape[:2], -1)


class LinearResidual(nn.Module):
    """y = L⁻¹ (target − VAR mean), L Lᵀ the VAR's residual covariance; fixed, not trained.

    Args:
        var: the fitted VAR; order 0 centres and whitens only.
    """

    def __init__(self, var: Var) -> None:
        super().__init__()
        self.register_buffer("coefficients", var.coefficients)
        self.register_buffer("intercept", var.intercept)
        self.register_buffer("root", torch.linalg.cholesky(var.covariance))

    def mean(self, context: Tensor) -> Tensor:
        """(clips, time, dim) linear prediction."""
        return Var(self.coefficients, self.intercept, self.root).mean(context)

    def whiten(self, residual: Tensor) -> Tensor:
        """(rows, dim) whitened residual."""
        return torch.linalg.solve_triangular(self.root, residual.T, upper=False).T

    def colour(self, whitened: Tensor) -> Tensor:
        """Inverse of `whiten`, for any leading dimensions."""
        return whitened @ self.root.T

    @property
    def log_determinant(self) -> Tensor:
        """Log |det| of the map from residual to whitened residual."""
        return -self.root.diagonal().log().sum()


class Predictor(nn.Module):
    """Density of the target given all frames up to t.

    Args:
        var: linear floor on whose residual the head works.
        trunk: (clips, time, dim) frames to (clips, time, width) features, causal.
        head: features to a distribution over the whitened residual.
    """

    def __init__(self, var: Var, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.linear = LinearResidual(var)
        self.trunk = trunk
        self.head = head

    def log_prob(self, batch: Batch) -> Tensor:
        """(scored,) log density of each scored target, in nats."""
        mean = self.linear.mean(batch.context)
        residual = self.linear.whiten((batch.target - mean)[batch.scored])
        features = self.trunk(batch.context)[batch.scored]
        return self.head(features).log_prob(residual) + self.linear.log_determinant

    def forward(self, batch: Batch) -> Tensor:
        """(scored,) negative log density: the loss of each scored target."""
        return -self.log_prob(batch)

    def sample(self, batch: Batch, samples: int) -> Tensor:
        """(samples, scored, dim) independent draws of each scored target."""
        features = self.trunk(batch.context)[batch.scored]
        drawn = self.head(features).sample((samples,))
        return self.linear.mean(batch.context)[batch.scored] + self.linear.colour(drawn)

    def mean_and_spread(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(scored, dim) mean and (scored,) summed variance, for heads that know theirs."""
        distribution = self.head(self.trunk(batch.context)[batch.scored])
        mean = self.linear.mean(batch.context)[batch.scored]
        spread = distribution.variance @ self.linear.root.square().sum(0)
        return mean + self.linear.colour(distribution.mean), spread


def make_predictor(
    var: Var, head: str, *, uses_past: bool, width: int, components: int, dropout: float
) -> Predictor:
    """Build a predictor, or with `uses_past=False` the marginal of the same family.

    Args:
        var: the linear floor; order 0 for a marginal.
        head: a key of `heads.HEADS`.
        uses_past: whether the trunk sees the past.
        width: hidden units of trunk and head.
        components: mixture components of the head.
        dropout: of the trunk, in training.
    """
    dim = len(var.intercept)
    trunk = Trunk(dim, width, dropout) if uses_past else NoPast(width)
    return Predictor(var, trunk, make_head(head, dim, width, width, components))


def save_predictor(predictor: Predictor, path: Path, info: Mapping[str, Any]) -> None:
    """Write weights and what is needed to build the model again.

    Args:
        predictor: a conditional density.
        path: of the safetensors file.
        info: `head`, `width`, `components`, and whatever else a reader should know.
    """
    order, dim, _ = predictor.linear.coefficients.shape
    write_tensors(path, predictor.state_dict(), {"order": order, "dim": dim, **info})


def load_predictor(path: Path) -> tuple[Predictor, dict[str, Any]]:
    """Read what `save_predictor` wrote: the model, ready to score and sample, and its `info`."""
    tensors, info = read_tensors(path)
    order, dim = info["order"], info["dim"]
    var = Var(torch.zeros(order, dim, dim), torch.zeros(dim), torch.eye(dim))
    predictor = make_predictor(
        var,
        info["head"],
        uses_past=True,
        width=info["width"],
        components=info["components"],
        dropout=0.0,
    )
    predictor.load_state_dict(tensors)
    return predictor.eval(), info
