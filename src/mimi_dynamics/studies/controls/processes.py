"""Synthetic processes whose predictability is known, to check that an estimator finds just that.

Every coordinate has mean 0. The gain one frame ahead is exact up to the error of quadrature, or of
a mean of 10⁵ draws.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.sequences import Sequences

RHO = 0.8
MEMORY = 8  # the process `memory` depends on the frame that many steps ago
SCALES = (0.3, math.sqrt(2 - 0.3**2))  # for `heteroscedastic`; they give variance 1 on average
# Degrees of freedom of `heavy_tails`. The characteristic function below holds only for 3.
FREEDOM = 3
BURN_IN = 64
VAR_GAIN = -0.5 * math.log(1 - RHO**2)

Path = list[Tensor]


@dataclass(frozen=True)
class Process:
    """A stationary process.

    Attributes:
        step: gives the next (clips, dim) frame, from a list of all frames so far, newest last, and
            a generator.
        true_gain: gives the gain one frame ahead in nats per dimension, from the number of
            dimensions.
    """

    step: Callable[[Path, torch.Generator], Tensor]
    true_gain: Callable[[int], float]

    def simulate(self, clips: int, frames: int, dim: int, seed: int) -> Sequences:
        """Simulate clips of equal length, split 80 : 10 : 10 into train, validation and test.

        Args:
            clips: number of clips.
            frames: number of frames of each clip.
            dim: number of dimensions.
            seed: seed of all noise.
        """
        generator = torch.Generator().manual_seed(seed)
        path = [torch.randn(clips, dim, generator=generator) for _ in range(MEMORY)]
        for _ in range(BURN_IN + frames):
            path.append(self.step(path, generator))
        shares = np.searchsorted([0.8, 0.9], (np.arange(clips) + 0.5) / clips)
        return Sequences(
            frames=torch.stack(path[-frames:], 1).reshape(-1, dim),
            voiced=torch.ones(clips * frames, dtype=torch.bool),
            gated=torch.zeros(clips * frames, dtype=torch.bool),
            lengths=np.full(clips, frames, dtype=np.int64),
            splits=np.array(["train", "validation", "test"])[shares],
        )


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator)


def _white_noise(path: Path, generator: torch.Generator) -> Tensor:
    return _normal(path[-1], generator)


def _linear(path: Path, generator: torch.Generator) -> Tensor:
    return RHO * path[-1] + math.sqrt(1 - RHO**2) * _normal(path[-1], generator)


def _memory(path: Path, generator: torch.Generator) -> Tensor:
    return RHO * path[-MEMORY] + math.sqrt(1 - RHO**2) * _normal(path[-1], generator)


def _sign_flip(path: Path, generator: torch.Generator) -> Tensor:
    sign = torch.randint(0, 2, (len(path[-1]), 1), generator=generator) * 2.0 - 1
    return sign * RHO * path[-1] + math.sqrt(1 - RHO**2) * _normal(path[-1], generator)


def _sign_flip_gain(dim: int) -> float:
    """Give the gain of the VAR less the coin's ln 2, corrected for the overlap of the two modes.

    −ln p(y | x) exceeds that of the VAR by ln 2 − ln(1 + exp(−2ρ x·y / (1 − ρ²))), where y = ρx +
    noise.
    """
    generator = torch.Generator().manual_seed(0)
    past, noise = torch.randn(2, 100_000, dim, generator=generator, dtype=torch.float64)
    following = RHO * past + math.sqrt(1 - RHO**2) * noise
    log_ratio = -2 * RHO * (past * following).sum(1) / (1 - RHO**2)
    overlap = torch.nn.functional.softplus(log_ratio).mean().item()
    return VAR_GAIN - (math.log(2) - overlap) / dim


def _heteroscedastic(path: Path, generator: torch.Generator) -> Tensor:
    low, high = SCALES
    return torch.where(path[-1] > 0, low, high) * _normal(path[-1], generator)


def _heteroscedastic_gain(_dim: int) -> float:
    """Give the entropy of the even mixture of both scales, less the mean of their own entropies."""
    grid = np.linspace(-12, 12, 200_001)
    density = sum(np.exp(-0.5 * (grid / s) ** 2) / (s * math.sqrt(2 * math.pi)) for s in SCALES) / 2
    mixture = -np.trapezoid(density * np.log(density), grid)
    own = np.mean([0.5 * math.log(2 * math.pi * math.e * s**2) for s in SCALES])
    return float(mixture - own)


def _heavy_tails(path: Path, generator: torch.Generator) -> Tensor:
    normal = _normal(path[-1], generator)
    chi_squared = sum(_normal(path[-1], generator).square() for _ in range(FREEDOM))
    return RHO * path[-1] + 0.3 * normal / (chi_squared / FREEDOM).sqrt()


def _heavy_tails_gain(_dim: int) -> float:
    """Give the entropy of Σ ρ^k t_k less that of t_0, all Student-t with 3 degrees of freedom.

    The density of the sum comes from its characteristic function; that of t_0 is (1 + √3|u|)
    exp(−√3|u|).
    """
    u = np.linspace(0, 40, 40_001)
    scaled = math.sqrt(3) * u * RHO ** np.arange(80)[:, None]
    spectrum = np.exp((np.log1p(scaled) - scaled).sum(0))
    x = np.concatenate([np.arange(0, 30, 0.05), np.geomspace(30, 3000, 300)])
    density = np.array([np.trapezoid(np.cos(u * point) * spectrum, u) for point in x]) / math.pi
    # Beyond 30 the integral oscillates too fast for the grid; the tail is 6√3/(π x⁴) Σ ρ^3k.
    tail = 6 * math.sqrt(3) / math.pi / (1 - RHO**3) / np.maximum(x, 1) ** 4
    density = np.where(x < 30, density, tail)
    innovation = 2 / (math.pi * math.sqrt(3)) / (1 + x**2 / 3) ** 2
    entropies = [-2 * np.trapezoid(p * np.log(p), x) for p in (density, innovation)]
    return float(entropies[0] - entropies[1])


PROCESSES = {
    "white_noise": Process(_white_noise, lambda _: 0.0),
    "linear": Process(_linear, lambda _: VAR_GAIN),
    "sign_flip": Process(_sign_flip, _sign_flip_gain),
    "heteroscedastic": Process(_heteroscedastic, _heteroscedastic_gain),
    "memory": Process(_memory, lambda _: VAR_GAIN),
    "heavy_tails": Process(_heavy_tails, _heavy_tails_gain),
}
