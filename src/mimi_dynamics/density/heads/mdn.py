"""The mixture density head (Bishop 1994), with Student-t components for heavy tails."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily
from torch.nn import functional

from mimi_dynamics.density.heads.scales import positive_scale
from mimi_dynamics.density.heads.student_t import SharedFreedomStudentT


class MdnHead(nn.Module):
    """Σ_k w_k(context) Π_d StudentT(y_d; ν_kd, μ_kd(context), s_kd(context)).

    Weights, means and scales depend on the context; the degrees of freedom ν > 2 do not.

    Args:
        dim: number of coordinates of the target.
        context_dim: number of features of the context vector.
        width: number of hidden units between the context and the parameters.
        components: number of mixture components.
    """

    def __init__(self, dim: int, context_dim: int, width: int, components: int, *_: int) -> None:
        super().__init__()
        self.dim, self.components = dim, components
        self.hidden = nn.Sequential(nn.Linear(context_dim, width), nn.SiLU())
        self.weights = nn.Linear(width, components)
        self.means = nn.Linear(width, components * dim)
        self.scales = nn.Linear(width, components * dim)
        self.raw_freedom = nn.Parameter(torch.full((components, dim), 6.0))
        for layer in (self.weights, self.means, self.scales):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.means.bias, std=0.2)  # equal components would get equal gradients

    def forward(self, context: Tensor) -> Distribution:
        """Give the distribution over (rows, dim) for a context of (rows, context_dim)."""
        hidden = self.hidden(context)
        shape = (*hidden.shape[:-1], self.components, self.dim)
        means = self.means(hidden).view(shape)
        scales = positive_scale(self.scales(hidden).view(shape))
        freedom = 2 + functional.softplus(self.raw_freedom)
        components = Independent(SharedFreedomStudentT(freedom, means, scales), 1)
        weights = Categorical(logits=self.weights(hidden), validate_args=False)
        return MixtureSameFamily(weights, components, validate_args=False)
