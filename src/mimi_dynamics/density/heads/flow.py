"""The flow head: an autoregressive affine layer over an autoregressive mixture.

This is the MAF MoG of Papamakarios et al. 2017 (arXiv 1705.07057, section 3.3). The layer and the
base see the coordinates in opposite orders, and both see the context. On the project's own latents,
80 ms ahead, validation NLL was 0.644 nats/dim for the mixture alone and 0.620 with the layer.
"""

import math
from collections.abc import Sequence

import torch
from nflows.transforms import (
    CompositeTransform,
    MaskedAffineAutoregressiveTransform,
    ReversePermutation,
)
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from mimi_dynamics.density.heads.autoregressive import AutoregressiveMixtureHead

UNIT_SCALE = math.log(math.e - 1)  # the number whose softplus is 1


class FlowHead(nn.Module):
    """y = T^{-1}(u; context) with u ~ mixture(context), and T autoregressive over the coordinates.

    The density takes one pass through the network, a sample takes 2 `dim` passes. T starts as the
    identity.

    Args:
        dim: number of coordinates of the target.
        context_dim: number of features of the context vector.
        width: number of hidden units of the layer and of the base.
        components: number of mixture components of the base.
        own_features: see `AutoregressiveMixtureHead`.
    """

    def __init__(
        self, dim: int, context_dim: int, width: int, components: int, own_features: int = 0
    ) -> None:
        super().__init__()
        self.base = AutoregressiveMixtureHead(dim, context_dim, width, components, own_features)
        layer = MaskedAffineAutoregressiveTransform(
            dim, width, context_features=self.base.shared_features, num_blocks=1
        )
        _start_at_identity(layer.autoregressive_net.final_layer)
        self.transform = CompositeTransform([layer, ReversePermutation(dim)])

    def forward(self, context: Tensor) -> Distribution:
        """Give the distribution over (rows, dim) for a context of (rows, context_dim)."""
        shared = context[:, : self.base.shared_features]
        own = context[:, self.base.shared_features :].view(len(context), self.base.dim, -1)
        # The base sees the coordinates from last to first, so their own features are reversed too.
        reversed_context = torch.cat([shared, own.flip(1).flatten(1)], 1)
        return FlowDistribution(self.transform, self.base(reversed_context), shared)


def _start_at_identity(final_layer: nn.Linear) -> None:
    """Set scale 1 and shift 0 in the last layer; nflows stores them as (scale, shift) pairs."""
    nn.init.normal_(final_layer.weight, std=1e-3)
    with torch.no_grad():
        final_layer.bias.view(-1, 2)[:, 0] = UNIT_SCALE
        final_layer.bias.view(-1, 2)[:, 1] = 0


class FlowDistribution(Distribution):
    """A base distribution seen through an invertible transform that also takes the context.

    Args:
        transform: maps a value to noise.
        base: the distribution of the noise.
        context: (rows, features) that the transform is given.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012

    def __init__(self, transform: CompositeTransform, base: Distribution, context: Tensor) -> None:
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)
        self.transform, self.base, self.context = transform, base, context

    def log_prob(self, value: Tensor) -> Tensor:
        """Give the (rows,) log density of `value` of (rows, dim)."""
        noise, log_determinant = self.transform(value, context=self.context)
        return self.base.log_prob(noise) + log_determinant

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw (*sample_shape, rows, dim) independent samples for every row of the context."""
        with torch.no_grad():
            noise = self.base.sample(torch.Size(sample_shape))
            context = self.context.expand(*sample_shape, *self.context.shape)
            samples, _ = self.transform.inverse(
                noise.flatten(0, -2), context=context.flatten(0, -2)
            )
            return samples.view(noise.shape)
