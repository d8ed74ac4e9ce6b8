"""Synthetic sequences whose predictability is known, for tests of everything that estimates it."""

import math

import numpy as np
import torch

from mimi_dynamics.sequences import Sequences

CLIP_FRAMES = 50
RHO = 0.8
VAR_GAIN = -0.5 * math.log(1 - RHO**2)  # nats per dimension at horizon 1


def as_sequences(paths: torch.Tensor) -> Sequences:
    """Split (clips, time, dim) paths 80 : 10 : 10 into train, validation and test."""
    clips, time, dim = paths.shape
    shares = np.searchsorted([0.8, 0.9], (np.arange(clips) + 0.5) / clips)
    return Sequences(
        frames=paths.reshape(-1, dim).contiguous(),
        voiced=torch.ones(clips * time, dtype=torch.bool),
        lengths=np.full(clips, time, dtype=np.int64),
        splits=np.array(["train", "validation", "test"])[shares],
    )


def white_noise(frames: int, dim: int) -> Sequences:
    """Independent N(0, I) frames: nothing to predict."""
    generator = torch.Generator().manual_seed(0)
    return as_sequences(torch.randn(frames // CLIP_FRAMES, CLIP_FRAMES, dim, generator=generator))


def autoregression(frames: int, dim: int, *, random_sign: bool = False) -> Sequences:
    """x_{t+1} = ±ρ x_t + sqrt(1 − ρ²) noise, unit variance; the sign fixed, or a coin's."""
    generator = torch.Generator().manual_seed(0)
    clips = frames // CLIP_FRAMES
    path = [torch.randn(clips, dim, generator=generator)]
    for _ in range(CLIP_FRAMES - 1):
        coin = torch.randint(0, 2, (clips, 1), generator=generator) * 2.0 - 1
        sign = coin if random_sign else 1.0
        noise = torch.randn(clips, dim, generator=generator)
        path.append(sign * RHO * path[-1] + math.sqrt(1 - RHO**2) * noise)
    return as_sequences(torch.stack(path, 1))
