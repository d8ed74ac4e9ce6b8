"""Bounded scales: a density that can shrink to a point can gain any number of nats on one frame."""

import math

from torch import Tensor
from torch.nn import functional

SCALE_FLOOR = 0.02  # of the residual's standard deviation; bounds a frame's gain at ln(50) per dim
UNIT = math.log(math.expm1(1 - SCALE_FLOOR))


def positive_scale(raw: Tensor) -> Tensor:
    """Map any real number smoothly to a scale above `SCALE_FLOOR`; 0 maps to 1."""
    return functional.softplus(raw + UNIT) + SCALE_FLOOR
