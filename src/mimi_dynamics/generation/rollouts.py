"""Free-running samples: every sample is fed back, never a mean, and nothing true comes in.

A trajectory starts after some true frames of a clip, from what a predictor knows of all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.nn import functional

from mimi_dynamics.density.predictor import Predictor, Whitening
from mimi_dynamics.density.trunk import AnyTrunk, LinearForecast, State
from mimi_dynamics.density.var import Var
from mimi_dynamics.latents.sequences import Batch, Sequences
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.devices import device_at, draws_of
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.parallel import one_thread_each


@dataclass(frozen=True)
class Starts:
    """Where forecasts begin.

    Attributes:
        clip: (starts,) index of the clip.
        past: (starts,) how many true frames of the clip are known.
        room: (starts,) how many frames of the clip are still to come.
    """

    clip: np.ndarray
    past: np.ndarray
    room: np.ndarray

    def __len__(self) -> int:
        """Count the starts."""
        return len(self.clip)

    def __getitem__(self, rows: np.ndarray | slice) -> "Starts":
        """Take some of the starts, as an array would."""
        return Starts(self.clip[rows], self.past[rows], self.room[rows])

    def reach(self, lead: int) -> "Starts":
        """Take the starts whose clip is long enough to know the truth `lead` frames ahead."""
        return self[self.room >= lead]


def choose_starts(
    sequences: Sequences, prompt_frames: int, stride_frames: int, most: int, longest_lead: int
) -> Starts:
    """Choose starts at regular distances within every clip, those with most to come first.

    Args:
        sequences: the clips.
        prompt_frames: true frames before the first start of a clip.
        stride_frames: distance of the starts of a clip.
        most: number of starts; of more, so many are taken, evenly over the frames to come.
        longest_lead: frames ahead for which there must be truth at one start at least.

    Raises:
        InputError: if no clip is long enough for that.
    """
    longest = int(sequences.lengths.max(initial=0))
    if longest < prompt_frames + longest_lead:
        raise InputError(
            f"rollout.prompt_frames = {prompt_frames}: with the longest of horizons, "
            f"{longest_lead}, must not exceed the longest clip of every split, here {longest}"
        )
    counts = np.maximum((sequences.lengths - prompt_frames - 1) // stride_frames + 1, 0)
    clip = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(clip)) - np.repeat(np.cumsum(counts) - counts, counts)
    past = prompt_frames + stride_frames * number
    starts = Starts(clip, past, sequences.lengths[clip] - past)
    kept = choose_evenly(len(starts), most)
    return starts[np.argsort(-starts.room, kind="stable")[kept]]


def listening_starts(sequences: Sequences, clips: int, prompt_frames: int, steps: int) -> Starts:
    """Choose one start in each of some clips, evenly spaced over those that are long enough.

    Where too few are long enough, the longest clips take their place, with half of a short one as
    prompt.
    """
    order = np.argsort(-sequences.lengths, kind="stable")
    long_enough = int((sequences.lengths >= prompt_frames + steps).sum())
    order = order[: max(long_enough, clips)]
    clip = order[choose_evenly(len(order), clips)]
    length = sequences.lengths[clip]
    past = np.minimum(prompt_frames, np.maximum(length - steps, length // 2))
    return Starts(clip, past, length - past)


def true_frames(values: Tensor, lengths: np.ndarray, starts: Starts, lead: int) -> Tensor:
    """Give what belongs to the frame `lead` after the last known one; lead 0 is that one.

    Args:
        values: (frames, …) what belongs to each frame, such as the frames themselves.
        lengths: (clips,) number of frames of each clip.
        starts: the starts.
        lead: distance in frames.

    Returns:
        (starts, …) values.
    """
    ends = np.cumsum(lengths)[starts.clip]
    return values[ends - starts.room - 1 + lead]


class Past(NamedTuple):
    """What a predictor knows of the past, one row for every trajectory.

    Attributes:
        features: (rows, features) of the trunk at the newest frame.
        state: of the trunk, to go on from.
    """

    features: Tensor
    state: State

    def rows(self, rows: Tensor | np.ndarray | slice) -> "Past":
        """Take some rows, or the same ones several times."""
        return Past(self.features[rows], [part[rows] for part in self.state])


@torch.no_grad()
def read_past(predictor: Predictor, sequences: Sequences, starts: Starts) -> Past:
    """Run the trunk over all known frames of each start; every clip is read once."""
    device = device_at(predictor)
    begins = np.cumsum(sequences.lengths) - sequences.lengths
    clips = np.unique(starts.clip)
    last = np.array([starts.past[starts.clip == clip].max() for clip in clips])
    pieces, order, state, read = [], [], None, 0
    for past in np.unique(starts.past):
        kept = last >= past  # clips without a later start drop out
        state = None if state is None else [part[kept] for part in state]
        clips, last = clips[kept], last[kept]
        frames = sequences.frames[begins[clips, None] + np.arange(read, past)].to(device)
        features, state = predictor.trunk.step(frames, state)
        here = np.flatnonzero(starts.past == past)
        pieces.append(Past(features[:, -1], state).rows(np.searchsorted(clips, starts.clip[here])))
        order.append(here)
        read = past
    whole = Past(
        torch.cat([piece.features for piece in pieces]),
        [torch.cat(parts) for parts in zip(*(piece.state for piece in pieces), strict=True)],
    )
    return whole.rows(torch.from_numpy(np.argsort(np.concatenate(order))))


@torch.no_grad()
def draw_next(predictor: Predictor, past: Past, samples: int) -> Tensor:
    """Draw (samples, rows, dim) frames that the predictor is about, independently."""
    return predictor.whitening.colour(predictor.head(past.features).sample((samples,)))


@torch.no_grad()
def roll_out(predictor: Predictor, past: Past, steps: np.ndarray, samples: int) -> Tensor:
    """Draw (samples, rows, max(steps), dim) independent trajectories; zeros past their ends.

    The work of a step does not grow with the frames behind it, and trajectories that are long
    enough cost nothing more. Draws from torch's default generator.

    Args:
        predictor: of the frame right ahead.
        past: one row for every start.
        steps: (rows,) length of each trajectory, falling.
        samples: trajectories from each start.
    """
    starts = torch.arange(len(steps), device=past.features.device)
    past = past.rows(starts.repeat_interleave(samples))
    path = []
    for step in range(int(steps[0])):
        past = past.rows(slice(int((steps > step).sum()) * samples))
        frame = draw_next(predictor, past, 1)[0]
        path.append(functional.pad(frame, (0, 0, 0, len(steps) * samples - len(frame))))
        features, state = predictor.trunk.step(frame[:, None], past.state)
        past = Past(features[:, 0], state)
    return torch.stack(path, 1).unflatten(0, (len(steps), samples)).transpose(0, 1)


class LinearTrunk(AnyTrunk):
    """A trunk that knows the forecast of a VAR and nothing else.

    Args:
        var: of order 1 or more.
        whitening: of its residual.
    """

    def __init__(self, var: Var, whitening: Whitening) -> None:
        super().__init__()
        self.forecast, self.whitening = LinearForecast(var), whitening

    def step(self, frames: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Give (clips, time, dim) whitened forecasts, and the frames that the next ones need."""
        past = self.forecast.start(frames) if state is None else state[0]
        forecast, past = self.forecast(frames, past)
        return self.whitening.whiten(forecast.flatten(0, 1)).view_as(forecast), [past]

    def features(self, batch: Batch) -> Tensor:
        """Give the whitened forecast, (scored, dim), of each scored target."""
        return self.step(batch.context, None)[0][batch.scored]


class UnitNormalHead(nn.Module):
    """N(features, I)."""

    def forward(self, features: Tensor) -> Distribution:
        """Give the distribution over (rows, dim) for features of the same shape."""
        return Independent(Normal(features, 1), 1)


def linear_floor(var: Var) -> Predictor:
    """Put a VAR with its Gaussian residual into the form of a predictor."""
    whitening = Whitening(torch.zeros_like(var.intercept), var.covariance)
    return Predictor(whitening, LinearTrunk(var, whitening), UnitNormalHead()).eval()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make draws within depend on the seed alone, not on earlier ones or the number of threads."""
    # One thread, because sums over several round differently, and samples part company from there.
    with one_thread_each(), draws_of(seed):
        yield
