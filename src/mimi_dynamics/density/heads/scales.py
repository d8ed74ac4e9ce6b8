"""Bounded scales: a density that may shrink to a point can gain any number of nats on one frame."""

import math

from torch import Tensor
from torch.nn import functional

# In standard deviations of the residual. It bounds the gain of a frame at ln(50) nats per dim.
SCALE_FLOOR = 0.02
UNIT = math.log(math.expm1(1 - SCALE_FLOOR))


def positive_scale(raw: Tensor) -> Tensor:
    """Map any real number smoothly to a scale above `SCALE_FLOOR`; 0 maps to 1."""
    return functional.softplus(raw + UNIT) + SCALE_FLOOR
