"""What a synthetic process is: clips that can be simulated, and the gain that they truly have."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.sequences import Sequences

BURN_IN = 64  # frames that are simulated before the first one of a clip

Path = list[Tensor]


@dataclass(frozen=True)
class Process:
    """A stationary process.

    Attributes:
        clips: gives (clips, frames, dim) frames from these three numbers and a generator.
        true_gain: gives the gain one frame ahead in nats per dimension, from the number of
            dimensions and the indices of the scored frames in their clips.
    """

    clips: Callable[[int, int, int, torch.Generator], Tensor]
    true_gain: Callable[[int, range], float]

    def simulate(self, clips: int, frames: int, dim: int, seed: int) -> Sequences:
        """Simulate clips of equal length, split 80 : 10 : 10 into train, validation and test.

        Args:
            clips: number of clips.
            frames: number of frames of each clip.
            dim: number of dimensions.
            seed: seed of all noise.
        """
        generator = torch.Generator().manual_seed(seed)
        shares = np.searchsorted([0.8, 0.9], (np.arange(clips) + 0.5) / clips)
        return Sequences(
            frames=self.clips(clips, frames, dim, generator).reshape(-1, dim),
            voiced=torch.ones(clips * frames, dtype=torch.bool),
            gated=torch.zeros(clips * frames, dtype=torch.bool),
            lengths=np.full(clips, frames, dtype=np.int64),
            splits=np.array(["train", "validation", "test"])[shares],
        )


def stepwise(
    step: Callable[[Path, torch.Generator], Tensor], memory: int = 8
) -> Callable[[int, int, int, torch.Generator], Tensor]:
    """Make clips frame by frame.

    Args:
        step: gives the next (clips, dim) frame, from a list of all frames so far, newest last, and
            a generator.
        memory: number of frames that are drawn before the first step, at least as many as it looks
            back.
    """

    def simulate(clips: int, frames: int, dim: int, generator: torch.Generator) -> Tensor:
        path = [torch.randn(clips, dim, generator=generator) for _ in range(memory)]
        for _ in range(BURN_IN + frames):
            path.append(step(path, generator))
        return torch.stack(path[-frames:], 1)

    return simulate


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers of the shape of `like`."""
    return torch.randn(like.shape, generator=generator)
