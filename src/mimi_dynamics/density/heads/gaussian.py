"""The diagonal Gaussian head, whose mean and scale depend on the context."""

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from mimi_dynamics.density.heads.scales import positive_scale


class GaussianHead(nn.Module):
    """N(mean(context), diag scale(context)²), which is N(0, I) for a context of zeros.

    Args:
        dim: number of coordinates of the target.
        context_dim: number of features of the context vector.
    """

    def __init__(self, dim: int, context_dim: int, *_: int) -> None:
        super().__init__()
        self.parameters_of = nn.Linear(context_dim, 2 * dim)
        # With weights of zero, a trunk that also starts at zero would never get a gradient.
        nn.init.normal_(self.parameters_of.weight, std=0.01)
        nn.init.zeros_(self.parameters_of.bias)

    def forward(self, context: Tensor) -> Distribution:
        """Give the distribution over (rows, dim) for a context of (rows, context_dim)."""
        mean, raw_scale = self.parameters_of(context).chunk(2, dim=-1)
        return Independent(Normal(mean, positive_scale(raw_scale)), 1)
