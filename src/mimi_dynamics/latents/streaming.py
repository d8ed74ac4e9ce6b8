"""Latents that do not fit in memory: train is read from its Parquet files in every pass.

Row groups of train are drawn into blocks, once, by the seed. A pass takes the blocks in a new order
and the batches within each in a new order, while the next block is being read: two blocks are in
memory at a time. Only the number of frames of every clip is always there. Surrogates change block
by block: `shuffled` and `linear` are as in memory, `permuted` moves frames within a block of train.
Validation and test, which are scored whole, are in memory; they must fit.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.row_groups import RowGroup, read_groups
from mimi_dynamics.latents.sequences import (
    Batch,
    Change,
    Sequences,
    bucket_by_length,
    in_new_order,
    too_far,
)


@dataclass(frozen=True)
class TrainStream:
    """Clips of train on disk.

    Attributes:
        blocks: row groups that are read together.
        lengths: (clips,) frames of every clip, by block.
        normalizer: of the coordinates.
        voiced_range_db: see `voiced_frames`.
        change: what makes a surrogate of a block, or None.
        seed: of the change.
    """

    blocks: tuple[tuple[RowGroup, ...], ...]
    lengths: tuple[np.ndarray, ...]
    normalizer: Normalizer
    voiced_range_db: float
    change: Change | None = None
    seed: int = 0

    def read(self, block: int) -> Sequences:
        """One block, the same every time."""
        found = read_groups(self.blocks[block], self.normalizer, self.voiced_range_db)
        if self.change is None:
            return found
        return self.change(found, torch.Generator().manual_seed(self.seed + block))


@dataclass(frozen=True)
class BatchStream:
    """Batches of a `TrainStream`, block by block.

    Attributes:
        stream: the clips.
        horizon: see `make_batches`, as of the next two.
        warmup_frames: frames at the start of a clip that are never targets.
        batch_frames: padded frames in a batch.
        delta: whether the targets are Δx.
    """

    stream: TrainStream
    horizon: int
    warmup_frames: int
    batch_frames: int
    delta: bool

    @cached_property
    def counts(self) -> list[int]:
        """How many batches each block gives.

        Raises:
            InputError: if no clip is long enough to have a single target.
        """
        first, lengths = max(self.horizon, self.warmup_frames), self.stream.lengths
        counts = [len(bucket_by_length(of, first, self.batch_frames)) for of in lengths]
        if not any(counts):
            raise too_far(self.horizon, first, np.concatenate(lengths))
        return counts

    def __len__(self) -> int:
        """How many there are in a pass."""
        return sum(self.counts)

    def __iter__(self) -> Iterator[Batch]:
        """One pass; the `frame` of a batch is that within its block."""
        for batches in self._read_ahead(range(len(self.counts))):
            yield from batches
            del batches  # before the block after the next is read

    def in_new_order(self, generator: torch.Generator) -> Iterator[Batch]:
        """One pass: blocks in a new order, and the batches of each."""
        order = torch.randperm(len(self.counts), generator=generator).tolist()
        for batches in self._read_ahead(order):
            yield from in_new_order(batches, generator)
            del batches

    def _read_ahead(self, order: Iterable[int]) -> Iterator[list[Batch]]:
        """The batches of each block, of which the next is read by a thread of its own."""
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
        return self.stream.read(block).batches("train", *size, delta=self.delta)


@dataclass(frozen=True)
class StreamedSequences(Sequences):
    """Held-out clips in memory, train on disk.

    Attributes:
        train: the clips of train.
        block_frames: of which at most so many are read together.
    """

    train: TrainStream
    block_frames: int

    @property
    def at_once(self) -> int:
        """How many frames of train are read together."""
        return self.block_frames

    def select(self, split: str) -> Sequences:
        """Only the clips of one split that is in memory, in order."""
        if split == "train":
            raise ValueError("train is on disk")
        return super().select(split)

    def train_mean(self) -> Tensor:
        """(dim,) mean of the frames of train."""
        blocks = range(len(self.train.blocks))
        total = sum(self.train.read(block).frames.double().sum(0) for block in blocks)
        return (total / sum(lengths.sum() for lengths in self.train.lengths)).float()

    def check_finite(self, split: str, name: str) -> None:
        """As of all sequences; frames of train are checked as they are read."""
        if split != "train":
            super().check_finite(split, name)

    def batches(
        self, split: str, horizon: int, warmup_frames: int, batch_frames: int, *, delta: bool
    ) -> list[Batch] | BatchStream:
        """Batches of one split, those of train as a stream."""
        if split != "train":
            return super().batches(split, horizon, warmup_frames, batch_frames, delta=delta)
        stream = BatchStream(self.train, horizon, warmup_frames, batch_frames, delta)
        stream.counts  # noqa: B018  too long a horizon is told now
        return stream

    def changed(self, change: Change, generator: torch.Generator) -> Sequences:
        """What `change` makes of what is in memory, and will make of every block of train."""
        held_out = change(self, generator)
        seed = int(torch.randint(2**31, (), generator=generator))
        return replace(held_out, train=replace(self.train, change=change, seed=seed))
