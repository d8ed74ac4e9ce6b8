"""Synthetic processes whose predictability is known, to check that an estimator finds just that.

Every coordinate has mean 0. The gain one frame ahead, of what lies in the clip, is exact up to the
error of quadrature, or of a mean of 10⁵ draws; that of `switching` is 0.4 % too small, since other
frames tell a little of one that lies before the clip. The estimator was shaped on those of
`DEVELOPMENT`. No setting was chosen by those of `HELD_OUT`, though it was known that the estimator
failed on them before densities without a network were stacked beside the heads.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.diagnostics.process import Path, Process, normal, stepwise

RHO = 0.8
MEMORY = 8  # the process `memory` depends on the frame that many steps ago
SCALES = (0.3, math.sqrt(2 - 0.3**2))  # for `heteroscedastic`; they give variance 1 on average
# Degrees of freedom of `heavy_tails`. The characteristic function below holds only for 3.
FREEDOM = 3
LONE_SIDES = 4  # in `lone_flips`, one in so many signs of a coordinate is a minus
SWITCHING_LAGS = (3, 12)  # of the two regimes of `switching`
OFFSET = 0.25  # variance of a clip's mean in `clip_offset`, where that of the noise is 1
VAR_GAIN = -0.5 * math.log(1 - RHO**2)


def _white_noise(path: Path, generator: torch.Generator) -> Tensor:
    return normal(path[-1], generator)


def _memory(lag: int) -> Process:
    """Make x_t = ρ x_{t−lag} + noise."""

    def step(path: Path, generator: torch.Generator) -> Tensor:
        return RHO * path[-lag] + math.sqrt(1 - RHO**2) * normal(path[-1], generator)

    def true_gain(_dim: int, scored: range) -> float:
        """Give the gain of frames before which that frame lies in the clip; others have none."""
        return VAR_GAIN * float(np.mean(np.array(scored) >= lag))

    return Process(stepwise(step, max(lag, MEMORY)), true_gain)


def _turned(path: Path, generator: torch.Generator) -> Tensor:
    """Turn a coordinate round where its neighbour was below 0 three frames ago."""
    turned = path[-3].roll(1, -1).sign() * path[-1]
    return RHO * turned + math.sqrt(1 - RHO**2) * normal(turned, generator)


def _neighbour_scales(path: Path, generator: torch.Generator) -> Tensor:
    """Draw noise whose scale a neighbour set four frames ago."""
    low, high = SCALES
    return torch.where(path[-4].roll(5, -1) > 0, low, high) * normal(path[-1], generator)


def _rotations(dim: int) -> Tensor:
    """Give the (2, dim, dim) rotation of each regime of `switching`."""
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(2, dim, dim, generator=generator))[0]


def _switching(path: Path, generator: torch.Generator) -> Tensor:
    """Rotate and shrink one of two earlier frames, which a coin chooses."""
    first = torch.randint(0, 2, (len(path[-1]), 1), generator=generator) == 0
    turned = [
        path[-lag] @ rotation
        for lag, rotation in zip(SWITCHING_LAGS, _rotations(path[-1].shape[1]), strict=True)
    ]
    mean = RHO * torch.where(first, turned[0], turned[1])
    return mean + math.sqrt(1 - RHO**2) * normal(mean, generator)


def _switching_gain(dim: int, scored: range) -> float:
    """Give the mean gain over 1000 clips, whose density is N(0, I) without the past."""
    clips = SWITCHING.clips(1000, scored.stop, dim, torch.Generator().manual_seed(1)).double()
    target, gains = clips[:, scored.start :], []
    for lag, rotation in zip(SWITCHING_LAGS, _rotations(dim).double(), strict=True):
        known = torch.arange(scored.start, scored.stop) >= lag
        past = clips.roll(lag, 1)[:, scored.start :] @ rotation
        surprise = (target - RHO * past).square().sum(-1) / (1 - RHO**2)
        gain = dim * VAR_GAIN + 0.5 * (target.square().sum(-1) - surprise)
        gains.append(torch.where(known, gain, 0.0))
    return float(torch.stack(gains).logsumexp(0).sub(math.log(2)).mean()) / dim


def _sign_flip(rates: Callable[[int], Tensor], sides: int) -> Process:
    """Make x_t = ± ρ_d x_{t−1} + noise, with one sign for the whole frame.

    Its gain is that of the VAR less the entropy of the sign, corrected for the overlap of the two
    modes: −ln p(y | x) exceeds that of the VAR by −ln(1 − p) − ln(1 + p/(1 − p) exp(−2 Σ_d ρ_d x_d
    y_d / (1 − ρ_d²))) where the sign is plus, and likewise where it is minus.

    Args:
        rates: gives the (dim,) float64 ρ_d from the number of dimensions.
        sides: 1/p, the number of sides of the die of which one makes the sign a minus.
    """

    def step(path: Path, generator: torch.Generator) -> Tensor:
        exact = rates(path[-1].shape[1])
        rho, noise = exact.float(), (1 - exact**2).sqrt().float()
        minus = torch.randint(0, sides, (len(path[-1]), 1), generator=generator) == 0
        sign = 1 - 2 * minus.to(rho.dtype)
        return sign * rho * path[-1] + noise * normal(path[-1], generator)

    def true_gain(dim: int, _: range) -> float:
        rho = rates(dim)
        generator = torch.Generator().manual_seed(0)
        past, noise = torch.randn(2, 100_000, dim, generator=generator, dtype=torch.float64)
        following = rho * past + (1 - rho**2).sqrt() * noise
        log_ratio = -2 * (rho / (1 - rho**2) * past * following).sum(1)
        odds = -math.log(sides - 1)
        shares = ((1 - 1 / sides, odds), (1 / sides, -odds))
        lost = sum(
            share * (-math.log(share) - torch.nn.functional.softplus(log_ratio + of).mean().item())
            for share, of in shares
        )
        return (-0.5 * torch.log1p(-(rho**2))).mean().item() - lost / dim

    return Process(stepwise(step), true_gain)


def _lone_flips() -> Process:
    """Make every coordinate ρ times its last value plus noise, with a sign of its own."""
    noise = math.sqrt(1 - RHO**2)

    def step(path: Path, generator: torch.Generator) -> Tensor:
        minus = torch.randint(0, LONE_SIDES, path[-1].shape, generator=generator) == 0
        return RHO * torch.where(minus, -path[-1], path[-1]) + noise * normal(path[-1], generator)

    alone = _sign_flip(_constant, LONE_SIDES)
    return Process(stepwise(step), lambda _, scored: alone.true_gain(1, scored))


def _constant(dim: int) -> Tensor:
    return torch.full((dim,), RHO, dtype=torch.float64)


def _mixed(process: Process) -> Process:
    """Mix the coordinates by a random matrix, which leaves the gain as it is."""

    def simulate(clips: int, frames: int, dim: int, generator: torch.Generator) -> Tensor:
        matrix = torch.randn(dim, dim, generator=generator) / math.sqrt(dim)
        return process.clips(clips, frames, dim, generator) @ matrix

    return Process(simulate, process.true_gain)


def _clip_offset(clips: int, frames: int, dim: int, generator: torch.Generator) -> Tensor:
    """Make white noise about a mean of each clip, whose variance is `OFFSET` of the noise's."""
    means = math.sqrt(OFFSET) * torch.randn(clips, 1, dim, generator=generator)
    return means + torch.randn(clips, frames, dim, generator=generator)


def _clip_offset_gain(_dim: int, scored: range) -> float:
    """Give the gain from the mean of the i frames before, averaged over the scored indices i."""
    before = np.array(scored)
    return float(0.5 * np.log((1 + OFFSET) / (1 + OFFSET / (1 + before * OFFSET))).mean())


def _heteroscedastic(path: Path, generator: torch.Generator) -> Tensor:
    low, high = SCALES
    return torch.where(path[-1] > 0, low, high) * normal(path[-1], generator)


def _heteroscedastic_gain(*_: object) -> float:
    """Give the entropy of the even mixture of both scales, less the mean of their own entropies."""
    grid = np.linspace(-12, 12, 200_001)
    density = sum(np.exp(-0.5 * (grid / s) ** 2) / (s * math.sqrt(2 * math.pi)) for s in SCALES) / 2
    mixture = -np.trapezoid(density * np.log(density), grid)
    own = np.mean([0.5 * math.log(2 * math.pi * math.e * s**2) for s in SCALES])
    return float(mixture - own)


def _heavy_tails(path: Path, generator: torch.Generator) -> Tensor:
    noise = normal(path[-1], generator)
    squares = [normal(path[-1], generator).square() for _ in range(FREEDOM)]
    chi_squared = sum(squares, start=torch.zeros_like(noise))
    return RHO * path[-1] + 0.3 * noise / (chi_squared / FREEDOM).sqrt()


def _heavy_tails_gain(*_: object) -> float:
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


SWITCHING = Process(stepwise(_switching, max(SWITCHING_LAGS)), _switching_gain)
DEVELOPMENT = {
    "white_noise": Process(stepwise(_white_noise), lambda *_: 0.0),
    "linear": _memory(1),
    "sign_flip": _sign_flip(_constant, 2),
    "lone_flips": _lone_flips(),
    "heteroscedastic": Process(stepwise(_heteroscedastic), _heteroscedastic_gain),
    "memory": _memory(MEMORY),
    "heavy_tails": Process(stepwise(_heavy_tails), _heavy_tails_gain),
    "turned": Process(stepwise(_turned), lambda *_: VAR_GAIN),
    "neighbour_scales": Process(stepwise(_neighbour_scales), _heteroscedastic_gain),
    "switching": SWITCHING,
}
HELD_OUT = {
    "long_memory": _memory(12),
    "rare_sign_flip": _mixed(
        _sign_flip(lambda dim: torch.linspace(0.3, 0.95, dim, dtype=torch.float64), 4)
    ),
    "clip_offset": Process(_clip_offset, _clip_offset_gain),
}
PROCESSES = DEVELOPMENT | HELD_OUT
