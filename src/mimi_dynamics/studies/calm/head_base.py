"""What all heads of CALM share: shape, losses, their weights, draws of noise and time."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mimi_dynamics.studies.calm.adaln_mlp import AdaLnMlp

END = math.pi / 2  # of TrigFlow's time, where all is noise
WEIGHT_FREQUENCIES = 64
WEIGHT_RANGE = 4.0  # of the adaptive log weight; beyond, the total falls while the error explodes


@dataclass(frozen=True)
class HeadShape:
    """What it takes to build a head, and what keeps its training stable.

    Attributes:
        kind: a key of `CALM_HEADS`.
        dim: coordinates of a frame.
        context_dim: features of the context.
        width: features of the network.
        depth: blocks of the network.
        batch: losses with noise of their own for each context that the trunk computes.
        steps: evaluations of the network for one sample.
        adaptive_weight: whether losses are weighed by a learned function of the time.
        tangent_normalisation: whether the consistency tangent g becomes g / (|g| + c).
        tangent_warmup: share of training over which its unstable part is faded in.
        time_proposal: whether times are log-normal rather than uniform.
    """

    kind: str
    dim: int
    context_dim: int
    width: int
    depth: int
    batch: int
    steps: int
    adaptive_weight: bool
    tangent_normalisation: bool
    tangent_warmup: float
    time_proposal: bool


class Loss(NamedTuple):
    """Of each frame.

    Attributes:
        weighted: (rows,) what is minimised.
        error: (rows,) the unweighted error, a mean over coordinates.
    """

    weighted: Tensor
    error: Tensor


class CalmHead(nn.Module):
    """What all heads have in common.

    Args:
        shape: see `HeadShape`.
    """

    times: ClassVar[int]  # how many times the network is told

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.temperature = 1.0  # τ: noise has variance τ in sampling
        dim = shape.dim
        self.network = AdaLnMlp(dim, dim, shape.context_dim, shape.width, shape.depth, self.times)
        self.weight = AdaptiveWeight(self.times) if shape.adaptive_weight else None

    def forward(self, context: Tensor) -> "Draws":
        """What can be sampled, for (rows, context_dim)."""
        return Draws(self, context)

    def noise(self, rows: int) -> Tensor:
        """(rows, dim) of variance τ."""
        return math.sqrt(self.temperature) * torch.randn(rows, self.shape.dim)

    def generate(self, context: Tensor) -> Tensor:
        """(rows, dim) one sample for every row of the context; gradients pass."""
        raise NotImplementedError

    def losses(self, context: Tensor, target: Tensor, progress: float) -> Loss:
        """Loss of (rows, dim) targets, a mean over `batch` draws of noise for every row.

        Args:
            context: (rows, context_dim).
            target: (rows, dim).
            progress: share of training done.
        """
        repeats = self.shape.batch
        loss = self.losses_once(
            context.expand(repeats, *context.shape).flatten(0, 1),
            target.expand(repeats, *target.shape).flatten(0, 1),
            progress,
        )
        return Loss(*(part.view(repeats, -1).mean(0) for part in loss))

    def losses_once(self, context: Tensor, target: Tensor, progress: float) -> Loss:
        """The same for one draw of noise each."""
        raise NotImplementedError

    def weighted(self, gap: Tensor, error: Tensor, *times: Tensor) -> Loss:
        """Loss of the (rows, dim) gap to what the network should say, weighed if so wished.

        Args:
            gap: its square is minimised.
            error: (rows, dim) its square is the unweighted error.
            times: (rows, 1) of each sample.
        """
        square = gap.square().mean(-1)
        if self.weight is not None:
            log_weight = self.weight(torch.cat(times, -1))
            square = log_weight.exp() * square - log_weight
        return Loss(square, error.detach().square().mean(-1))


class AdaptiveWeight(nn.Module):
    """w(t), a linear map of Fourier features: e^w · error − w, after Karras et al. 2024.

    At the optimum e^−w is the error to be expected at t, so that all times count alike.

    Args:
        times: how many times it looks at.
    """

    def __init__(self, times: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("rates", torch.randn(times, WEIGHT_FREQUENCIES, generator=generator))
        self.linear = nn.Linear(2 * WEIGHT_FREQUENCIES, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, times: Tensor) -> Tensor:
        """(rows,) of (rows, times)."""
        angle = math.tau * times @ self.rates
        raw = self.linear(torch.cat([angle.cos(), angle.sin()], -1))[:, 0]
        return WEIGHT_RANGE * torch.tanh(raw / WEIGHT_RANGE)


class Draws:
    """Samples for every row of a context; the part of a distribution that generation needs.

    Args:
        head: that draws them.
        context: (rows, context_dim).
    """

    def __init__(self, head: CalmHead, context: Tensor) -> None:
        self.head, self.context = head, context

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """(*sample_shape, rows, dim) independent draws for every row of the context."""
        context = self.context.expand(*sample_shape, *self.context.shape)
        with torch.no_grad():
            return self.head.generate(context.flatten(0, -2)).view(*context.shape[:-1], -1)
