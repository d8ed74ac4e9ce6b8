"""The diagonal Gaussian head: mean and scale from the context."""

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from mimi_dynamics.density.heads.scales import positive_scale


class GaussianHead(nn.Module):
    """N(mean(context), diag scale(context)²); N(0, I) for a context of zeros.

    Args:
        dim: coordinates of the target.
        context_dim: features of the context vector.
    """

    def __init__(self, dim: int, context_dim: int, *_: int) -> None:
        super().__init__()
        self.parameters_of = nn.Linear(context_dim, 2 * dim)
        # Not zero: a trunk that starts at zero would then never get a gradient.
        nn.init.normal_(self.parameters_of.weight, std=0.01)
        nn.init.zeros_(self.parameters_of.bias)

    def forward(self, context: Tensor) -> Distribution:
        """Distribution over (rows, dim) for a context of (rows, context_dim)."""
        mean, raw_scale = self.parameters_of(context).chunk(2, dim=-1)
        return Independent(Normal(mean, positive_scale(raw_scale)), 1)
