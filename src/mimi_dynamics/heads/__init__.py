"""Density heads: `head(context)` is a distribution over R^dim with `log_prob` and `sample`."""

from torch import nn

from mimi_dynamics.heads.flow import FlowHead
from mimi_dynamics.heads.gaussian import GaussianHead
from mimi_dynamics.heads.mdn import MdnHead

__all__ = ["HEADS", "FlowHead", "GaussianHead", "MdnHead", "make_head"]

HEADS: dict[str, type[nn.Module]] = {"gaussian": GaussianHead, "mdn": MdnHead, "flow": FlowHead}


def make_head(name: str, dim: int, context_dim: int, width: int, components: int) -> nn.Module:
    """Build a head by its name in `params.yaml`.

    Args:
        name: a key of `HEADS`.
        dim: coordinates of the target.
        context_dim: features of the context vector.
        width: hidden units.
        components: mixture components, where the head is a mixture.
    """
    if name == "gaussian":
        return GaussianHead(dim, context_dim)
    return HEADS[name](dim, context_dim, width, components)
