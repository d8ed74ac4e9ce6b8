"""The network of the head, an adaLN MLP, with its exact directional derivative.

The tangent is computed explicitly and not by `torch.func.jvp`, which also multiplies by a zero
tangent of every weight matrix: three products for each layer, where two are enough.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

TIME_FREQUENCIES = 32  # number of frequencies, each with a sine and a cosine
# Frequencies go from the inverse of this up to 1, so that features are smooth in time.
TIME_PERIOD = 10_000.0
EPSILON = 1e-6


@dataclass(frozen=True)
class Dual:
    """A value and its derivative along a direction.

    Attributes:
        value: a tensor of any shape.
        tangent: the derivative, of the same shape; None where the value does not change.
    """

    value: Tensor
    tangent: Tensor | None = None

    @property
    def derivative(self) -> Tensor:
        """The tangent of a value that changes.

        Raises:
            ValueError: it does not.
        """
        if self.tangent is None:
            raise ValueError("a value that does not change has no tangent")
        return self.tangent

    def __add__(self, other: "Dual") -> "Dual":
        """Add the values and the tangents."""
        return Dual(self.value + other.value, _sum(self.tangent, other.tangent))

    def __mul__(self, other: "Dual") -> "Dual":
        """Multiply, by the product rule."""
        first = None if self.tangent is None else self.tangent * other.value
        second = None if other.tangent is None else self.value * other.tangent
        return Dual(self.value * other.value, _sum(first, second))

    def chunk(self, pieces: int) -> list["Dual"]:
        """Split value and tangent along the last dimension."""
        values = self.value.chunk(pieces, -1)
        if self.tangent is None:
            return [Dual(value) for value in values]
        return [Dual(*pair) for pair in zip(values, self.tangent.chunk(pieces, -1), strict=True)]


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def linear(layer: nn.Linear, inputs: Dual) -> Dual:
    """Apply a linear layer."""
    tangent = None if inputs.tangent is None else inputs.tangent @ layer.weight.T
    return Dual(layer(inputs.value), tangent)


def silu(inputs: Dual) -> Dual:
    """Compute x σ(x)."""
    gate = torch.sigmoid(inputs.value)
    value = inputs.value * gate
    if inputs.tangent is None:
        return Dual(value)
    return Dual(value, inputs.tangent * (gate + value * (1 - gate)))


def standardise(inputs: Dual) -> Dual:
    """Normalise to mean 0 and variance 1 over the last dimension: layer norm without weights."""
    centred = inputs.value - inputs.value.mean(-1, keepdim=True)
    inverse = (centred.square().mean(-1, keepdim=True) + EPSILON).rsqrt()
    value = centred * inverse
    if inputs.tangent is None:
        return Dual(value)
    moved = inputs.tangent - inputs.tangent.mean(-1, keepdim=True)
    return Dual(value, inverse * (moved - value * (value * moved).mean(-1, keepdim=True)))


def modulate(inputs: Dual, shift: Dual, scale: Dual) -> Dual:
    """Compute (1 + scale) × standardised inputs + shift."""
    return standardise(inputs) * Dual(1 + scale.value, scale.tangent) + shift


class TimeEmbedding(nn.Module):
    """Features of a time.

    Args:
        width: number of features.
    """

    rates: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        steps = torch.arange(TIME_FREQUENCIES) / (TIME_FREQUENCIES - 1)
        self.register_buffer("rates", torch.exp(-math.log(TIME_PERIOD) * steps))
        self.hidden = nn.Linear(2 * TIME_FREQUENCIES, width)
        self.outputs = nn.Linear(width, width)

    def embed(self, time: Dual) -> Dual:
        """Embed times of (..., 1) as (..., width)."""
        angle = time.value * self.rates
        cos, sin = angle.cos(), angle.sin()
        tangent = None
        if time.tangent is not None:
            speed = time.tangent * self.rates
            tangent = torch.cat([-sin * speed, cos * speed], -1)
        waves = Dual(torch.cat([cos, sin], -1), tangent)
        return linear(self.outputs, silu(linear(self.hidden, waves)))


class AdaLnBlock(nn.Module):
    """x + gate · MLP(modulated x), where shift, scale and gate depend on the condition.

    Args:
        width: number of features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 3 * width)
        self.hidden, self.outputs = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def apply_to(self, inputs: Dual, condition: Dual) -> Dual:
        """Map (..., width) to (..., width)."""
        shift, scale, gate = linear(self.modulation, condition).chunk(3)
        hidden = linear(self.hidden, modulate(inputs, shift, scale))
        return inputs + gate * linear(self.outputs, silu(hidden))


class AdaLnMlp(nn.Module):
    """F(input, times, context), as in MAR and Pocket TTS; it is zero at the start of training.

    Args:
        inputs: number of coordinates of the input.
        outputs: number of coordinates of the output.
        context_dim: number of features of the context.
        width: number of features inside the network.
        depth: number of blocks.
        times: number of times that the network is given; their embeddings are averaged.
    """

    def __init__(
        self, inputs: int, outputs: int, context_dim: int, width: int, depth: int, times: int
    ) -> None:
        super().__init__()
        self.inputs = nn.Linear(inputs, width)
        self.context = nn.Linear(context_dim, width)
        self.times = nn.ModuleList([TimeEmbedding(width) for _ in range(times)])
        self.blocks = nn.ModuleList([AdaLnBlock(width) for _ in range(depth)])
        self.modulation = nn.Linear(width, 2 * width)
        self.outputs = nn.Linear(width, outputs)
        for layer in (self.modulation, self.outputs):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def dual(self, inputs: Dual, times: list[Dual], context: Tensor) -> Dual:
        """Compute the value and, if inputs or a time have a tangent, the directional derivative.

        Args:
            inputs: (..., inputs) input.
            times: times of (..., 1), as many as the network has embeddings for.
            context: (..., context_dim) context, which has no tangent.
        """
        condition = Dual(self.context(context))
        embeddings = cast("list[TimeEmbedding]", list(self.times))
        for embedding, time in zip(embeddings, times, strict=True):
            part = embedding.embed(time)
            share = 1 / len(times)
            moved = None if part.tangent is None else part.tangent * share
            condition = condition + Dual(part.value * share, moved)
        condition = silu(condition)
        hidden = linear(self.inputs, inputs)
        for block in cast("list[AdaLnBlock]", list(self.blocks)):
            hidden = block.apply_to(hidden, condition)
        shift, scale = linear(self.modulation, condition).chunk(2)
        return linear(self.outputs, modulate(hidden, shift, scale))

    def forward(self, inputs: Tensor, times: list[Tensor], context: Tensor) -> Tensor:
        """Compute the value alone, (..., outputs)."""
        return self.dual(Dual(inputs), [Dual(time) for time in times], context).value
