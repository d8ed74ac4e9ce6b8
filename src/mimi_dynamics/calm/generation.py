"""Every contender as the same thing: true frames in, free-running frames x out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.calm.head import CalmHead
from mimi_dynamics.predictor import Predictor
from mimi_dynamics.rollouts import Starts, read_past, roll_out, seeded
from mimi_dynamics.rssm.model import Rssm
from mimi_dynamics.sequences import Sequences

# Sequential passes through the head's network for one sample, per coordinate or in all.
PASSES_PER_COORDINATE = {"autoregressive": 1, "flow": 2}


@dataclass(frozen=True)
class Generator:
    """A model that goes on from a prompt.

    Attributes:
        step: p(next | past), sampled and fed back.
        known: what `step` reads, all clips: the frames x, or the states of an `Rssm`.
        render: what turns rolled-out states into frames x; None where `step` is about x itself.
    """

    step: Predictor
    known: Sequences
    render: Rssm | None = None

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


def network_evaluations(generator: Generator, head: str) -> int:
    """Passes through a network that one frame takes, one after the other.

    A transformer, trunk or head counts once each time it is run; prior and reconstructor likewise.

    Args:
        generator: to look at.
        head: of its step, a key of `heads.HEADS` or of `calm.heads.CALM_HEADS`.
    """
    step = generator.step
    if isinstance(step.head, CalmHead):
        passes = max(1, step.head.shape.steps) if step.head.times else 1
        return 1 + (step.trunk.short is not None) + passes
    dim = len(step.whitening.mean)
    passes = PASSES_PER_COORDINATE.get(head, 0) * dim or 1
    return 1 + passes + 2 * (generator.render is not None)


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
