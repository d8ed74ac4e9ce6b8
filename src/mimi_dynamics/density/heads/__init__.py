"""Density heads: `head(context)` gives a distribution over R^dim with `log_prob` and `sample`."""

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

    All heads take the same arguments and ignore those that they do not need.

    Args:
        name: a key of `HEADS`.
        dim: number of coordinates of the target.
        context_dim: number of features of the context vector.
        width: number of hidden units.
        components: number of mixture components, if the head is a mixture.
        own_features: number of context features that describe each coordinate alone. They stand at
            the end of the context, ordered by coordinate; `autoregressive` and `flow` use them.
    """
    return HEADS[name](dim, context_dim, width, components, own_features)
