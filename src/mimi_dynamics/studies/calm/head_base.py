"""What all heads of CALM share: shape, losses and their weights, and draws of noise."""

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mimi_dynamics.studies.calm.adaln_mlp import AdaLnMlp

END = math.pi / 2  # the last time of TrigFlow, at which there is only noise
WEIGHT_FREQUENCIES = 64
# Bound of the adaptive log weight: beyond it, the total loss falls while the error explodes.
WEIGHT_RANGE = 4.0


@dataclass(frozen=True)
class HeadShape:
    """The kind of a head, and what keeps its training stable.

    Attributes:
        kind: a key of `CALM_HEADS`.
        depth: number of blocks of the network.
        batch: number of losses, each with its own noise, for each context from the trunk.
        steps: number of evaluations of the network for one sample.
        adaptive_weight: whether losses are weighted by a learned function of the time.
        tangent_normalisation: whether the consistency tangent g becomes g / (|g| + c), which biases
            the samples.
        tangent_warmup: share of training over which the unstable part of the tangent is faded in.
        time_proposal: whether the times of the consistency head and of LSD are drawn where they
            matter (the logarithm of tan t or the logit of t is normal) instead of uniformly.
    """

    kind: str
    depth: int
    batch: int
    steps: int
    adaptive_weight: bool = True
    tangent_normalisation: bool = False
    tangent_warmup: float = 0.25
    time_proposal: bool = True


class Loss(NamedTuple):
    """The loss of each frame.

    Attributes:
        weighted: (rows,) the loss to minimise.
        error: (rows,) the unweighted error, a mean over coordinates.
    """

    weighted: Tensor
    error: Tensor


class CalmHead(nn.Module):
    """The base class of all heads.

    Args:
        shape: see `HeadShape`.
        dim: number of coordinates of a frame.
        context_dim: number of features of the context.
        width: number of features of the network.

    Attributes:
        times: number of times that the network is given.
        temperature: variance τ of the noise in sampling.
    """

    times: ClassVar[int]

    def __init__(self, shape: HeadShape, dim: int, context_dim: int, width: int) -> None:
        super().__init__()
        self.shape, self.dim = shape, dim
        self.temperature = 1.0
        self.network = AdaLnMlp(dim, dim, context_dim, width, shape.depth, self.times)
        self.weight = AdaptiveWeight(self.times) if shape.adaptive_weight else None

    def forward(self, context: Tensor) -> "Draws":
        """Give the samples that can be drawn for a context of (rows, context_dim)."""
        return Draws(self, context)

    def noise(self, context: Tensor) -> Tensor:
        """Draw noise of variance τ for every row of the context, (rows, dim)."""
        normal = torch.randn(len(context), self.dim, device=context.device)
        return math.sqrt(self.temperature) * normal

    def generate(self, context: Tensor) -> Tensor:
        """Draw one sample for every row of the context, (rows, dim); gradients pass through it.

        Args:
            context: (rows, context_dim) context.
        """
        raise NotImplementedError

    def losses(self, context: Tensor, target: Tensor, progress: float) -> Loss:
        """Compute the loss of each target, averaged over `batch` draws of noise.

        Args:
            context: (rows, context_dim) context.
            target: (rows, dim) target.
            progress: share of training that is done.
        """
        repeats = self.shape.batch
        loss = self.losses_once(
            context.expand(repeats, *context.shape).flatten(0, 1),
            target.expand(repeats, *target.shape).flatten(0, 1),
            progress,
        )
        return Loss(*(part.view(repeats, -1).mean(0) for part in loss))

    def losses_once(self, context: Tensor, target: Tensor, progress: float) -> Loss:
        """Compute the loss of each target for one draw of noise.

        Args:
            context: (rows, context_dim) context.
            target: (rows, dim) target.
            progress: share of training that is done.
        """
        raise NotImplementedError

    def weighted(self, gap: Tensor, error: Tensor, *times: Tensor) -> Loss:
        """Compute the loss of a gap, with the learned weight if the head has one.

        Args:
            gap: (rows, dim) the difference whose square is minimised.
            error: (rows, dim) the difference whose square is the unweighted error.
            times: (rows, 1) times of each sample.
        """
        square = gap.square().mean(-1)
        if self.weight is not None:
            log_weight = self.weight(torch.cat(times, -1))
            square = log_weight.exp() * square - log_weight
        return Loss(square, error.detach().square().mean(-1))


class AdaptiveWeight(nn.Module):
    """The log weight w(t) of a loss e^w · error − w (after Karras et al. 2024).

    w is a linear map of Fourier features. At the optimum, e^−w is the expected error at t, so that
    all times have the same influence.

    Args:
        times: number of times on which the weight depends.
    """

    rates: Tensor

    def __init__(self, times: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("rates", torch.randn(times, WEIGHT_FREQUENCIES, generator=generator))
        self.linear = nn.Linear(2 * WEIGHT_FREQUENCIES, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, times: Tensor) -> Tensor:
        """Give the (rows,) log weight at (rows, times) times."""
        angle = math.tau * times @ self.rates
        raw = self.linear(torch.cat([angle.cos(), angle.sin()], -1))[:, 0]
        return WEIGHT_RANGE * torch.tanh(raw / WEIGHT_RANGE)


class Draws:
    """Samples for every row of a context: the part of a distribution that generation needs.

    Args:
        head: the head that draws them.
        context: (rows, context_dim) context.
    """

    def __init__(self, head: CalmHead, context: Tensor) -> None:
        self.head, self.context = head, context

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Draw (*sample_shape, rows, dim) independent samples for every row of the context."""
        context = self.context.expand(*sample_shape, *self.context.shape)
        with torch.no_grad():
            return self.head.generate(context.flatten(0, -2)).view(*context.shape[:-1], -1)
