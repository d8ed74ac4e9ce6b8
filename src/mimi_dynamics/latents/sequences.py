"""Latents as models see them: the whitened frames of all clips, and padded batches of clips."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.lengths import bucket_by_length, reach_of, too_far
from mimi_dynamics.pipeline.conventions import FRAME_RATE
from mimi_dynamics.pipeline.errors import InputError


@dataclass(frozen=True)
class Sequences:
    """The frames of all clips, one clip after the other.

    Attributes:
        frames: (frames, dim) float32, whitened.
        voiced: (frames,) bool, whether a frame is speech rather than silence.
        gated: (frames,) bool, whether a frame is in or beside digital silence, or its clip ends
            within it: never a target and part of no score.
        lengths: (clips,) int64, number of frames of each clip. They sum to the number of frames.
        splits: (clips,) str, `train`, `validation`, `test` or `test_voice`.
        targets: (frames, dim) float32, what to predict at each frame in place of the frame itself;
            None for the frame. Δx is always the change of the frames.
        frame_rate: frames a second.
    """

    frames: Tensor
    voiced: Tensor
    gated: Tensor
    lengths: np.ndarray
    splits: np.ndarray
    targets: Tensor | None = field(default=None, kw_only=True)
    frame_rate: float = field(default=FRAME_RATE, kw_only=True)

    def milliseconds(self, frames: int) -> int:
        """Give the length of some frames, to the millisecond."""
        return round(1000 * frames / self.frame_rate)

    @property
    def dim(self) -> int:
        """Give the number of coordinates of a frame."""
        return self.frames.shape[1]

    @property
    def at_once(self) -> int:
        """Give the number of frames of train that are in memory at a time, or 0 if all are."""
        return 0

    @property
    def clip_of_frame(self) -> np.ndarray:
        """Give the index of the clip that each frame belongs to, as (frames,) int64."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def index_in_clip(self) -> np.ndarray:
        """Give the index of each frame within its clip, as (frames,) int64."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.arange(len(self.frames)) - np.repeat(starts, self.lengths)

    @property
    def reach(self) -> np.ndarray:
        """Give the number of frames of each clip up to the last that may be a target, (clips,)."""
        return reach_of(self.gated.numpy(), self.lengths)

    def select(self, split: str) -> "Sequences":
        """Select the clips of one split, in their order."""
        return self.keep(self.splits == split)

    def train_mean(self) -> Tensor:
        """Give the mean of the frames of train that may be targets, as (dim,)."""
        train = self.select("train")
        return train.frames[~train.gated].mean(0)

    def part_of_train(self, parts: int) -> "Sequences":
        """Give the data with only every `parts`-th clip of train, and all clips of other splits."""
        train = np.flatnonzero(self.splits == "train")
        clips = np.ones(len(self.splits), bool)
        clips[np.setdiff1d(train, train[::parts])] = False
        return self.keep(clips)

    def keep(self, clips: np.ndarray) -> "Sequences":
        """Give those clips that (clips,) bool says."""
        kept = torch.from_numpy(clips[self.clip_of_frame])
        return replace(
            self,
            frames=self.frames[kept],
            voiced=self.voiced[kept],
            gated=self.gated[kept],
            lengths=self.lengths[clips],
            splits=self.splits[clips],
            targets=None if self.targets is None else self.targets[kept],
        )

    def train_targets(self, first: int) -> int:
        """Count the frames of train that may be targets, from index `first` of each clip on."""
        train = self.select("train")
        return int((~train.gated.numpy() & (train.index_in_clip >= first)).sum())

    def check_finite(self, split: str, name: str) -> None:
        """Check that all frames and targets of a split are finite: others must not become metrics.

        Args:
            split: name of the split.
            name: name of the data, for the error message.

        Raises:
            InputError: a frame is not finite. The message says how many are not.
        """
        chosen = self.select(split)
        finite = torch.isfinite(chosen.frames).all(1)
        if chosen.targets is not None:
            finite &= torch.isfinite(chosen.targets).all(1)
        if not finite.all():
            bad = int((~finite).sum())
            raise InputError(f"{bad} of {len(finite)} frames of {split} ({name}) are not finite")

    def batches(
        self, split: str, horizon: int, warmup_frames: int, batch_frames: int, *, delta: bool
    ) -> "list[Batch] | BatchSource":
        """Make the batches of one split; see `make_batches` for the arguments.

        The targets are Δx = x_i − x_{i−horizon} if `delta`, or else `self.targets`.

        Raises:
            InputError: no clip of the split is long enough to have a target.
        """
        chosen = self.select(split)
        targets = difference_targets(chosen, horizon) if delta else chosen.targets
        return make_batches(chosen, horizon, warmup_frames, batch_frames, targets)

    def changed(self, change: "Change", generator: torch.Generator) -> "Sequences":
        """Give a changed copy of the data, such as a surrogate.

        Args:
            change: a function that makes the copy.
            generator: source of all random numbers of `change`.
        """
        return change(self, generator)


Change = Callable[[Sequences, torch.Generator], Sequences]


class Batch(NamedTuple):
    """Some clips of similar length, padded with zeros at the end.

    Attributes:
        context: (clips, time, dim) frames x_t.
        target: (clips, time, dim) what is to be predicted at each t: x_{t+k}, or a function of it.
        scored: (clips, time) bool, whether there is a target at this time that counts.
        frame: (scored,) int64, index of each scored target in the `Sequences`, row by row.
    """

    context: Tensor
    target: Tensor
    scored: Tensor
    frame: Tensor


class BatchSource(Protocol):
    """Batches that are not all in memory. Every pass makes them anew, and the same each time."""

    def __len__(self) -> int:
        """Give the number of batches in a pass."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass."""

    def in_new_order(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one pass in an order that `generator` draws."""


def in_memory(batches: list[Batch] | BatchSource) -> list[Batch]:
    """Give batches that are in memory, as those of every split but train always are.

    Raises:
        TypeError: they are not.
    """
    if not isinstance(batches, list):
        raise TypeError("these batches are not in memory")
    return batches


def in_new_order(batches: list[Batch] | BatchSource, generator: torch.Generator) -> Iterator[Batch]:
    """Yield all batches, each once, in an order that `generator` draws."""
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
    """Pad clips into batches of at most `batch_frames` padded frames, with at least one clip each.

    A target is scored if its index within the clip is at least `max(horizon, warmup_frames)` and
    it is not gated. So all horizons up to `warmup_frames` score exactly the same frames.

    Args:
        sequences: the clips.
        horizon: k, how many frames ahead the target lies.
        warmup_frames: number of frames at the start of a clip that are never targets.
        batch_frames: most padded frames in a batch, unless a single clip has more.
        targets: (frames, dim) what to predict at each frame; None for the frame itself.

    Raises:
        InputError: no clip is long enough to have a single target.
    """
    first = max(horizon, warmup_frames)
    groups = bucket_by_length(sequences.lengths, sequences.reach > first, batch_frames)
    if not groups:
        raise too_far(horizon, first, sequences.reach)
    starts = np.concatenate([[0], np.cumsum(sequences.lengths)[:-1]])
    targets = sequences.frames if targets is None else targets
    return [_pad(sequences, targets, starts, group, horizon, first) for group in groups]


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
    ahead = torch.where(inside, index + horizon, 0)
    scored = inside & torch.from_numpy(steps[None] + horizon >= first) & ~sequences.gated[ahead]
    return Batch(
        context=sequences.frames[index] * inside[..., None],
        target=targets[ahead] * inside[..., None],
        scored=scored,
        frame=ahead[scored],
    )


def scored_frames(batches: Sequence[Batch]) -> int:
    """Count the targets that the batches score."""
    return sum(len(batch.frame) for batch in batches)


def subsample_targets(batch: Batch, stride: int) -> Batch:
    """Give the same batch, but score only targets whose frame index is a multiple of `stride`."""
    kept = batch.frame % stride == 0
    scored = batch.scored.clone()
    scored[batch.scored] = kept
    return batch._replace(scored=scored, frame=batch.frame[kept])


def difference_targets(sequences: Sequences, horizon: int) -> Tensor:
    """Give Δx = x_i − x_{i−horizon} at every frame i, as (frames, dim).

    It is zero at the first `horizon` frames of each clip, where there is no such past.
    """
    delta = torch.zeros_like(sequences.frames)
    delta[horizon:] = sequences.frames[horizon:] - sequences.frames[:-horizon]
    starts = np.concatenate([[0], np.cumsum(sequences.lengths)[:-1]])
    within_clip = np.arange(len(delta)) - np.repeat(starts, sequences.lengths)
    delta[torch.from_numpy(within_clip < horizon)] = 0
    return delta
