"""Train on latents that do not fit in memory, by reading their Parquet files in every pass.

The row groups of train are distributed over blocks once, at random by the seed. A pass takes the
blocks in a new order, and the batches within each block in a new order, while the next block is
being read. So two blocks are in memory at a time. Of the rest, memory holds only the number of
frames of every clip. Surrogates are made block by block: `shuffled` and `linear` are as in memory,
while `permuted` moves frames only within a block of train. Validation and test are scored as a
whole, so they are in memory and must fit.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.lengths import bucket_by_length, too_far
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.row_groups import RowGroup, read_groups
from mimi_dynamics.latents.sequences import (
    Batch,
    BatchSource,
    Change,
    Sequences,
    in_memory,
    in_new_order,
)
from mimi_dynamics.pipeline.errors import InputError


@dataclass(frozen=True)
class TrainStream:
    """The clips of train, on disk.

    Attributes:
        blocks: the row groups of each block. They are read together.
        lengths: for each block, (clips,) number of frames of every clip.
        reaches: for each block, (clips,) number of frames of every clip up to its last target.
        normalizer: what whitens the latents.
        voiced_range_db: see `voiced_frames`.
        changes: what turns a block into a surrogate, one change after the other, each with a seed;
            none for the real data.
        parts: one in so many clips of each block is kept; see `part_of_train`.
    """

    blocks: tuple[tuple[RowGroup, ...], ...]
    lengths: tuple[np.ndarray, ...]
    reaches: tuple[np.ndarray, ...]
    normalizer: Normalizer
    voiced_range_db: float
    changes: tuple[tuple[Change, int], ...] = ()
    parts: int = 1

    def read(self, block: int) -> Sequences:
        """Read one block, and make all changes of it. It is the same every time."""
        sequences = read_groups(self.blocks[block], self.normalizer, self.voiced_range_db)
        sequences = sequences.part_of_train(self.parts)
        for change, seed in self.changes:
            sequences = change(sequences, torch.Generator().manual_seed(seed + block))
        return sequences


@dataclass(frozen=True)
class BatchStream:
    """The batches of a `TrainStream`, block by block.

    Attributes:
        stream: the clips.
        horizon: how many frames ahead the targets lie.
        warmup_frames: number of frames at the start of a clip that are never targets.
        batch_frames: most padded frames in a batch; see `make_batches`.
        delta: whether the targets are Δx.
    """

    stream: TrainStream
    horizon: int
    warmup_frames: int
    batch_frames: int
    delta: bool

    @cached_property
    def counts(self) -> list[int]:
        """Count the batches of each block.

        Raises:
            InputError: no clip is long enough to have a single target.
        """
        first, reaches = max(self.horizon, self.warmup_frames), self.stream.reaches
        counts = [
            len(bucket_by_length(lengths, reach > first, self.batch_frames))
            for lengths, reach in zip(self.stream.lengths, reaches, strict=True)
        ]
        if not any(counts):
            raise too_far(self.horizon, first, np.concatenate(reaches))
        return counts

    def __len__(self) -> int:
        """Give the number of batches in a pass."""
        return sum(self.counts)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass. Their attribute `frame` counts frames within the block."""
        for batches in self._read_ahead(range(len(self.counts))):
            yield from batches
            del batches  # Make room before the block after the next is read.

    def in_new_order(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one pass, with the blocks and the batches of each in a new order."""
        order = torch.randperm(len(self.counts), generator=generator).tolist()
        for batches in self._read_ahead(order):
            yield from in_new_order(batches, generator)
            del batches

    def _read_ahead(self, order: Iterable[int]) -> Iterator[list[Batch]]:
        """Yield the batches of each block while a thread reads the next block."""
        blocks = [block for block in order if self.counts[block]]
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._batches, blocks[0])
            for block in blocks[1:]:
                ready, coming = coming.result(), pool.submit(self._batches, block)
                yield ready
                del ready
            yield coming.result()

    def _batches(self, block: int) -> list[Batch]:
        size = self.horizon, self.warmup_frames, self.batch_frames
        return in_memory(self.stream.read(block).batches("train", *size, delta=self.delta))


@dataclass(frozen=True)
class StreamedSequences(Sequences):
    """Sequences with held-out clips in memory and train on disk.

    Attributes:
        train: the clips of train.
        block_frames: the number of frames of train, at most, that are read together.
    """

    train: TrainStream
    block_frames: int

    def __post_init__(self) -> None:
        """Refuse targets: those of train would have to be on disk too.

        Raises:
            InputError: there are targets beside the frames.
        """
        if self.targets is not None:
            raise InputError(
                "train is read from disk, which holds no targets beside the frames: raise "
                "memory_gib until all latents are in memory"
            )

    @property
    def at_once(self) -> int:
        """Give the number of frames of train, at most, that are read together."""
        return self.block_frames

    def select(self, split: str) -> Sequences:
        """Select the clips of one split, in their order.

        Raises:
            ValueError: the split is train, which is not in memory.
        """
        if split == "train":
            raise ValueError("train is on disk")
        return super().select(split)

    def part_of_train(self, parts: int) -> Sequences:
        """Give the data with only every `parts`-th clip of each block of train."""
        lengths, reaches = (
            tuple(of_block[::parts] for of_block in of)
            for of in (self.train.lengths, self.train.reaches)
        )
        parts *= self.train.parts
        train = replace(self.train, lengths=lengths, reaches=reaches, parts=parts)
        return replace(self, train=train)

    def train_targets(self, first: int) -> int:
        """Read all of train once, and count its possible targets; see `Sequences`."""
        blocks = range(len(self.train.blocks))
        return sum(self.train.read(block).train_targets(first) for block in blocks)

    def train_mean(self) -> Tensor:
        """Read all of train once, and give the mean of its possible targets as (dim,)."""
        total, count = torch.zeros(self.dim, dtype=torch.float64), 0
        for block in range(len(self.train.blocks)):
            sequences = self.train.read(block)
            targets = sequences.frames[~sequences.gated]
            total, count = total + targets.double().sum(0), count + len(targets)
        return (total / count).float()

    def check_finite(self, split: str, name: str) -> None:
        """Check that all frames of a split are finite; those of train are checked when read."""
        if split != "train":
            super().check_finite(split, name)

    def batches(
        self, split: str, horizon: int, warmup_frames: int, batch_frames: int, *, delta: bool
    ) -> list[Batch] | BatchSource:
        """Make the batches of one split. Those of train are a stream.

        Raises:
            InputError: no clip of the split is long enough to have a target.
        """
        if split != "train":
            return super().batches(split, horizon, warmup_frames, batch_frames, delta=delta)
        stream = BatchStream(self.train, horizon, warmup_frames, batch_frames, delta)
        stream.counts  # noqa: B018  This raises now, not later, if the horizon is too long.
        return stream

    def changed(self, change: Change, generator: torch.Generator) -> Sequences:
        """Change the splits in memory now, and every block of train when it is read.

        Raises:
            TypeError: the change loses the clips of train.
        """
        held_out = change(self, generator)
        if not isinstance(held_out, StreamedSequences):
            raise TypeError(f"{change} loses the clips of train that are on disk")
        seed = int(torch.randint(2**31, (), generator=generator))
        changes = *self.train.changes, (change, seed)
        return replace(held_out, train=replace(self.train, changes=changes))
