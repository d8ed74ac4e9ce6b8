"""Density heads: `head(context)` is a distribution over R^dim with `log_prob` and `sample`."""

from torch import nn

from mimi_dynamics.density.heads.autoregressive import AutoregressiveMixtureHead
from mimi_dynamics.density.heads.flow import FlowHead
from mimi_dynamics.density.heads.gaussian import GaussianHead
from mimi_dynamics.density.heads.mdn import MdnHead

__all__ = [
    "HEADS",
    "AutoregressiveMixtureHead",
    "FlowHead",
    "GaussianHead",
    "MdnHead",
    "make_head",
]

HEADS: dict[str, type[nn.Module]] = {
    "gaussian": GaussianHead,
    "mdn": MdnHead,
    "autoregressive": AutoregressiveMixtureHead,
    "flow": FlowHead,
}


def make_head(
    name: str, dim: int, context_dim: int, width: int, components: int, own_features: int = 0
) -> nn.Module:
    """Build a head by its name in `params.yaml`.

    Args:
        name: a key of `HEADS`.
        dim: coordinates of the target.
        context_dim: features of the context vector.
        width: hidden units.
        components: mixture components, where the head is a mixture.
        own_features: how many of the context's features, at its end, speak of each coordinate
            alone, coordinate by coordinate; `autoregressive` and `flow` use them so.

    A head takes all of these, and leaves alone what it has no use for.
    """
    return HEADS[name](dim, context_dim, width, components, own_features)
