"""Every model as the same thing, true frames in, free-running frames x out; and where it starts."""

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mimi_dynamics.density.devices import on_device
from mimi_dynamics.density.predictor import Predictor, load_predictor
from mimi_dynamics.generation.rollouts import Starts, choose_starts, draw_next, read_past, roll_out
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.devices import CPU, device_at
from mimi_dynamics.pipeline.params import ComputeParams, Params

STARTS_PER_JOB = 32  # drawn together; fixed, so that samples do not depend on the cores


class Renderer(Protocol):
    """What turns the states of a factorisation into frames."""

    def generate(self, z_dyn: Tensor) -> Tensor:
        """Give (..., dim) frames x drawn for (..., state_dim) states."""
        ...


@dataclass(frozen=True)
class Generator:
    """A model that goes on from a prompt. All draws are of torch's default generator.

    It draws on the device on which its models are; what it takes and gives is on the CPU.

    Attributes:
        step: p(next | past), sampled and fed back.
        known: what `step` reads, all clips: the frames x, or the states of a factorisation.
        render: what turns rolled-out states into frames x; None where `step` is about x itself.
    """

    step: Predictor
    known: Sequences
    render: Renderer | None = None

    @contextmanager
    def on_device(self, compute: ComputeParams) -> Iterator[None]:
        """Keep the models on the device of `compute` inside the `with` block."""
        with ExitStack() as moved:
            for model in (self.step, self.render):
                if isinstance(model, nn.Module):
                    moved.enter_context(on_device(model, compute))
            yield

    def finish(self, path: Tensor) -> Tensor:
        """Turn what was rolled out into frames x, by z_rec from the prior; any leading shape."""
        if self.render is None:
            return path
        with torch.no_grad():
            return self.render.generate(path.to(device_at(self.step))).to(CPU)

    def roll_out(self, split: str, starts: Starts, steps: np.ndarray, samples: int) -> Tensor:
        """Draw (samples, starts, max(steps), features) trajectories of what `step` is about.

        Args:
            split: that the starts are in.
            starts: those with most frames to come first.
            steps: (starts,) length of each trajectory, falling; what lies past it is zero.
            samples: from each start.
        """
        past = read_past(self.step, self.known.select(split), starts)
        return roll_out(self.step, past, steps, samples).to(CPU)

    def paths(self, split: str, starts: Starts, steps: np.ndarray, samples: int) -> Tensor:
        """Draw (samples, starts, max(steps), dim) frames x; only the first `steps` of each count.

        The arguments are those of `roll_out`.
        """
        return self.finish(self.roll_out(split, starts, steps, samples))

    def draw_next(self, split: str, starts: Starts, samples: int) -> Tensor:
        """Draw (samples, starts, dim) frames x at the one lead that `step` is about.

        Args:
            split: that the starts are in.
            starts: any, in any order.
            samples: from each start.
        """
        past = read_past(self.step, self.known.select(split), starts)
        return self.finish(draw_next(self.step, past, samples).to(CPU))


def load_generator(path: Path, known: Sequences) -> Generator:
    """Read a predictor of frames x from its file.

    Building it draws initial weights, soon replaced, from torch's default generator.

    Args:
        path: of the safetensors file.
        known: the frames x, all clips.
    """
    return Generator(load_predictor(path)[0], known)


@dataclass(frozen=True)
class Grid:
    """From where and how far ahead forecasts are made.

    Attributes:
        data: the frames x of every split.
        split: that the starts are in.
        starts: those with most frames to come first.
        leads: frames ahead that are scored, rising.
        samples: of each forecast.
        seed: of all draws.
    """

    data: Sequences
    split: str
    starts: Starts
    leads: list[int]
    samples: int
    seed: int

    @cached_property
    def climate(self) -> Tensor:
        """The possible targets of train, (frames, dim), of which climatology draws."""
        train = self.data.select("train")
        return train.frames[~train.gated]

    @cached_property
    def clips(self) -> Sequences:
        """The clips of the split."""
        return self.data.select(self.split)

    @property
    def steps(self) -> np.ndarray:
        """The longest lead that each start reaches, (starts,): how far it is rolled out."""
        leads = np.array([0, *self.leads])
        return leads[np.searchsorted(leads[1:], self.starts.room, side="right")]

    def thinned(self, starts: int, samples: int) -> "Grid":
        """Give a grid of fewer starts, evenly over the frames to come, and fewer samples."""
        kept = choose_evenly(len(self.starts), starts)
        return replace(self, starts=self.starts[kept], samples=samples)

    def pieces(self, stream: str) -> list["Grid"]:
        """Cut into grids of few starts, the longest first, each with its leads and its seed.

        Args:
            stream: what the seeds are of, beside the seed of the grid. Whatever is drawn from the
                same stream has the same noise, as do the checkpoints of one model.
        """
        pieces = []
        for first in range(0, len(self.starts), STARTS_PER_JOB):
            starts = self.starts[first : first + STARTS_PER_JOB]
            leads = [lead for lead in self.leads if lead <= starts.room[0]]
            seed = zlib.crc32(f"{self.seed} {stream} {first}".encode())
            pieces.append(replace(self, starts=starts, leads=leads, seed=seed))
        return pieces


def make_grid(params: Params, data: Sequences, split: str, required_lead: int) -> Grid:
    """Choose the starts of one split as the settings of stage `rollout` say.

    Args:
        params: all settings.
        data: the frames x of every split.
        split: that the starts are to be in.
        required_lead: frames ahead for which there must be truth at one start at least.

    Raises:
        InputError: if no clip is long enough for that.
    """
    settings, leads = params.rollout, sorted(params.horizons)
    starts = choose_starts(
        data.select(split),
        settings.prompt_frames,
        settings.stride_frames,
        settings.starts,
        required_lead,
    )
    return Grid(data, split, starts.reach(leads[0]), leads, settings.samples, params.seed)
