"""Latents as the models see them: whitened frames, clip by clip, and padded batches of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.pipeline.errors import InputError


@dataclass(frozen=True)
class Sequences:
    """All clips end to end.

    Attributes:
        frames: (frames, dim) float32, whitened.
        voiced: (frames,) bool, speech rather than silence.
        lengths: (clips,) int64, frames of each clip; they sum to the number of frames.
        splits: (clips,) str, `train`, `validation`, `test` or `test_voice`.
    """

    frames: Tensor
    voiced: Tensor
    lengths: np.ndarray
    splits: np.ndarray

    @property
    def dim(self) -> int:
        """Number of coordinates of a frame."""
        return self.frames.shape[1]

    @property
    def at_once(self) -> int:
        """How many frames of train are in memory at a time; 0 for all."""
        return 0

    @property
    def clip_of_frame(self) -> np.ndarray:
        """(frames,) index of the clip that each frame belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def select(self, split: str) -> "Sequences":
        """Only the clips of one split, in order."""
        clips = self.splits == split
        kept = torch.from_numpy(clips[self.clip_of_frame])
        return replace(
            self,
            frames=self.frames[kept],
            voiced=self.voiced[kept],
            lengths=self.lengths[clips],
            splits=self.splits[clips],
        )

    def train_mean(self) -> Tensor:
        """(dim,) mean of the frames of train."""
        return self.select("train").frames.mean(0)

    def check_finite(self, split: str, name: str) -> None:
        """Frames that are not numbers must never become a metric.

        Raises:
            InputError: with how many there are in the split of the data called `name`.
        """
        finite = torch.isfinite(self.select(split).frames).all(1)
        if not finite.all():
            bad = int((~finite).sum())
            raise InputError(f"{bad} of {len(finite)} frames of {split} ({name}) are not finite")

    def batches(
        self, split: str, horizon: int, warmup_frames: int, batch_frames: int, *, delta: bool
    ) -> "list[Batch] | BatchSource":
        """Batches of one split as of `make_batches`; their targets are Δx if `delta`."""
        chosen = self.select(split)
        targets = difference_targets(chosen, horizon) if delta else None
        return make_batches(chosen, horizon, warmup_frames, batch_frames, targets)

    def changed(self, change: "Change", generator: torch.Generator) -> "Sequences":
        """What `change` makes of the data."""
        return change(self, generator)


Change = Callable[[Sequences, torch.Generator], Sequences]


class Batch(NamedTuple):
    """Clips of similar length, padded with zeros at the end.

    Attributes:
        context: (clips, time, dim) frames x_t.
        target: (clips, time, dim) what is to be predicted at each t: x_{t+k}, or a function of it.
        scored: (clips, time) bool, where there is a target that counts.
        frame: (scored,) int64, index of each scored target in the `Sequences`, row by row.
    """

    context: Tensor
    target: Tensor
    scored: Tensor
    frame: Tensor


class BatchSource(Protocol):
    """Batches that are not all in memory: made anew for every pass, the same each time."""

    def __len__(self) -> int:
        """How many there are in a pass."""

    def __iter__(self) -> Iterator[Batch]:
        """One pass."""

    def in_new_order(self, generator: torch.Generator) -> Iterator[Batch]:
        """One pass in an order that `generator` draws."""


def in_new_order(batches: list[Batch] | BatchSource, generator: torch.Generator) -> Iterator[Batch]:
    """All batches, each once, in an order that `generator` draws."""
    if not isinstance(batches, list):
        yield from batches.in_new_order(generator)
        return
    for index in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[index]


def make_batches(
    sequences: Sequences,
    horizon: int,
    warmup_frames: int,
    batch_frames: int,
    targets: Tensor | None = None,
) -> list[Batch]:
    """Pad clips into batches of at most `batch_frames` padded frames (at least one clip each).

    A target is scored if its index within the clip is at least `max(horizon, warmup_frames)`: so
    all horizons up to `warmup_frames` score the very same frames.

    Args:
        sequences: the clips.
        horizon: k, how many frames ahead the target lies.
        warmup_frames: frames at the start of a clip that are never targets.
        batch_frames: padded frames in a batch.
        targets: (frames, dim) what to predict at each frame; None for the frame itself.

    Raises:
        InputError: if no clip is long enough to have a single target.
    """
    first = max(horizon, warmup_frames)
    groups = bucket_by_length(sequences.lengths, first, batch_frames)
    if not groups:
        raise too_far(horizon, first, sequences.lengths)
    starts = np.concatenate([[0], np.cumsum(sequences.lengths)[:-1]])
    targets = sequences.frames if targets is None else targets
    return [_pad(sequences, targets, starts, group, horizon, first) for group in groups]


def too_far(horizon: int, first: int, lengths: np.ndarray) -> InputError:
    """What to raise if no clip of a split is long enough."""
    return InputError(
        f"horizon = {horizon} (first target at frame {first}): "
        f"must be below the longest clip of every split, here {int(lengths.max(initial=0))} frames"
    )


def bucket_by_length(lengths: np.ndarray, first: int, batch_frames: int) -> list[np.ndarray]:
    """Share out clips of `lengths` (clips,) into batches: indices, shortest clips first.

    Only clips that have a target: a frame of index `first`. None may have.
    """
    usable = np.flatnonzero(lengths > first)
    groups: list[list[int]] = []
    for clip in usable[np.argsort(lengths[usable], kind="stable")]:
        if groups and (len(groups[-1]) + 1) * lengths[clip] <= batch_frames:
            groups[-1].append(clip)
        else:
            groups.append([clip])
    return [np.array(group) for group in groups]


def _pad(
    sequences: Sequences,
    targets: Tensor,
    starts: np.ndarray,
    clips: np.ndarray,
    horizon: int,
    first: int,
) -> Batch:
    steps = np.arange(sequences.lengths[clips].max() - horizon)
    inside = steps[None] < sequences.lengths[clips][:, None] - horizon
    index = torch.from_numpy(np.where(inside, starts[clips][:, None] + steps[None], 0))
    inside = torch.from_numpy(inside)
    scored = inside & torch.from_numpy(steps[None] + horizon >= first)
    ahead = torch.where(inside, index + horizon, 0)
    return Batch(
        context=sequences.frames[index] * inside[..., None],
        target=targets[ahead] * inside[..., None],
        scored=scored,
        frame=ahead[scored],
    )


def scored_frames(batches: Sequence[Batch]) -> int:
    """How many targets the batches score."""
    return sum(len(batch.frame) for batch in batches)


def subsample_targets(batch: Batch, stride: int) -> Batch:
    """The same batch with only those targets scored whose frame is a multiple of `stride`."""
    kept = batch.frame % stride == 0
    scored = batch.scored.clone()
    scored[batch.scored] = kept
    return batch._replace(scored=scored, frame=batch.frame[kept])


def difference_targets(sequences: Sequences, horizon: int) -> Tensor:
    """(frames, dim) Δx = x_i − x_{i−horizon} at every frame i; zero where there is no such past."""
    delta = torch.zeros_like(sequences.frames)
    delta[horizon:] = sequences.frames[horizon:] - sequences.frames[:-horizon]
    starts = np.concatenate([[0], np.cumsum(sequences.lengths)[:-1]])
    within_clip = np.arange(len(delta)) - np.repeat(starts, sequences.lengths)
    delta[torch.from_numpy(within_clip < horizon)] = 0
    return delta
