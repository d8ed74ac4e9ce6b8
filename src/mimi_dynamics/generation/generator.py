"""Every contender as the same thing: true frames in, free-running frames x out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.generation.rollouts import Starts, read_past, roll_out, seeded
from mimi_dynamics.latents.sequences import Sequences


class Renderer(Protocol):
    """What turns the states of a factorisation into frames."""

    def generate(self, z_dyn: Tensor) -> Tensor:
        """Give (..., dim) frames x drawn for (..., state_dim) states."""
        ...


@dataclass(frozen=True)
class Generator:
    """A model that goes on from a prompt.

    Attributes:
        step: p(next | past), sampled and fed back.
        known: what `step` reads, all clips: the frames x, or the states of a factorisation.
        render: what turns rolled-out states into frames x; None where `step` is about x itself.
    """

    step: Predictor
    known: Sequences
    render: Renderer | None = None

    def finish(self, path: Tensor) -> Tensor:
        """Frames x of what was rolled out, by z_rec from the prior; any leading dimensions."""
        if self.render is None:
            return path
        with torch.no_grad():
            return self.render.generate(path)

    def paths(self, split: str, starts: Starts, steps: np.ndarray, samples: int) -> Tensor:
        """(samples, starts, max(steps), dim) frames x; only the first `steps` of each count.

        Draws from torch's default generator.

        Args:
            split: that the starts are in.
            starts: those with most frames to come first.
            steps: (starts,) length of each trajectory, falling.
            samples: from each start.
        """
        past = read_past(self.step, self.known.select(split), starts)
        return self.finish(roll_out(self.step, past, steps, samples))


@dataclass(frozen=True)
class Draw:
    """Trajectories to be drawn.

    Attributes:
        generator: of them.
        split: that the starts are in.
        starts: those with most frames to come first.
        steps: (starts,) length of each trajectory, falling.
        samples: from each start.
        seed: of the draws.
    """

    generator: Generator
    split: str
    starts: Starts
    steps: np.ndarray
    samples: int
    seed: int


def draw(job: Draw) -> Tensor:
    """See `Generator.paths`; the same bits whatever else is drawn."""
    with seeded(job.seed):
        return job.generator.paths(job.split, job.starts, job.steps, job.samples)
