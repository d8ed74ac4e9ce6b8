"""Load what the stages `encode` and `normalize` wrote: whitened into memory, or train from disk.

Every stage loads latents through this module. As encoded they stay on disk, and whitened frames of
100 hours take 0.6 GB. Only `predict`, `horizon` and `horizons` can work without having those in
memory either.
"""

import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mimi_dynamics.latents.lengths import reach_of
from mimi_dynamics.latents.normalizer import Normalizer, load_normalizer
from mimi_dynamics.latents.row_groups import EncodedFrames, RowGroup, read_groups, row_groups
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents, read_latents
from mimi_dynamics.latents.streaming import StreamedSequences, TrainStream
from mimi_dynamics.pipeline.distributed import is_main_process
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.params import Params

# docs/performance_training.md tells how the following numbers were measured.
# While a row group is read and normalised, it takes the memory of this many copies of its encoded
# latents. The measurements were 8.0 with 128 dimensions and 8.1 with 512.
READ_COPIES = 8.5
# Whitened frames, surrogates and batches together take the memory of this many copies of the
# whitened frames. The measurement was 5.
HELD_COPIES = 8
BLOCKS = 2  # Memory holds one block to train on, and one that is being read.
READERS = 2  # The number of threads that read. None of them gives back the memory it needed.
GIB = 2**30


LATENTS = Path("data/latents")
NORMALIZER = Path("models/normalizer.safetensors")


class Loaded(NamedTuple):
    """The latents in the forms that stages need.

    Attributes:
        latents: the latents as encoded, whose values are on disk until they are asked for.
        normalizer: what whitens them.
        sequences: the whitened sequences that models see.
    """

    latents: Latents
    normalizer: Normalizer
    sequences: Sequences


def load(params: Params) -> Loaded:
    """Read all whitened frames into memory, and what is known of them.

    Raises:
        InputError: stage `encode` or `normalize` has not run, or the latents are not usable.
    """
    groups = row_groups(LATENTS)
    latents = read_latents(LATENTS, EncodedFrames(groups))
    normalizer = load_normalizer(require(NORMALIZER, "normalize"))
    sequences = read_groups(groups, normalizer, params.latents.voiced_range_db)
    return Loaded(latents, normalizer, sequences)


def on_disk(path: Path) -> Latents:
    """Read what is known of latents, whose values stay on disk until they are asked for.

    Raises:
        InputError: there are none, or a number is not finite.
    """
    values = EncodedFrames(row_groups(path))
    values.check()
    return read_latents(path, values)


def read_data(params: Params) -> Sequences:
    """Read the whitened sequences that models see, and stream train if they take too much memory.

    Raises:
        InputError: stage `encode` or `normalize` has not run, the latents are not usable, or
            `memory_gib` is too small even to stream train.
    """
    groups = row_groups(LATENTS)
    if resident_bytes(groups, params.latents.dim) <= params.memory_gib * GIB:
        return load(params).sequences
    normalizer = load_normalizer(require(NORMALIZER, "normalize"))
    return stream_data(
        groups, normalizer, params.latents.voiced_range_db, params.memory_gib, params.seed
    )


def read_voices(split: str) -> np.ndarray:
    """Read who speaks in each clip of one split, in the order in which sequences have the clips.

    Returns:
        (clips,) str, the names of the voices.
    """
    groups = [group for group in row_groups(LATENTS) if group.split == split]
    return np.array([name for of in groups for name in of.read(["voice"])["voice"].to_pylist()])


def resident_bytes(groups: list[RowGroup], dim: int) -> float:
    """Estimate the memory, at most, of a process that has all frames in memory.

    Args:
        groups: the row groups of all splits.
        dim: number of whitened coordinates that are kept of each frame.

    Returns:
        A number of bytes.
    """
    frames = [group.frames for group in groups]
    return 4 * (READ_COPIES * groups[0].dim * max(frames) + HELD_COPIES * dim * sum(frames))


def stream_data(
    groups: list[RowGroup],
    normalizer: Normalizer,
    voiced_range_db: float,
    memory_gib: float,
    seed: int,
) -> StreamedSequences:
    """Read held-out splits into memory, and prepare train to be read in blocks.

    The blocks are as large as the rest of the memory allows.

    Args:
        groups: the row groups of all splits.
        normalizer: what whitens the latents.
        voiced_range_db: see `voiced_frames`.
        memory_gib: memory in GiB that one process may take.
        seed: decides which row groups are in the same block.

    Raises:
        InputError: `memory_gib` is too small.
    """
    train = [group for group in groups if group.split == "train"]
    others = [group for group in groups if group.split != "train"]
    held = 4 * len(normalizer.scale) * HELD_COPIES
    reading = 4 * groups[0].dim * READ_COPIES * max(group.frames for group in groups)
    fixed = READERS * reading + held * sum(group.frames for group in others)
    block_frames = int((memory_gib * GIB - fixed) / (BLOCKS * held))
    largest = max(group.frames for group in train)
    if block_frames < largest:
        needed = math.ceil((fixed + BLOCKS * held * largest) / GIB * 1000) / 1000
        raise InputError(
            f"memory_gib = {memory_gib:g}: must be at least {needed:g}; validation and test are "
            f"held in memory, train passes through it by row groups of up to {largest} frames"
        )
    blocks = _blocks(train, block_frames, seed)
    if is_main_process():
        print(
            f"latents take more than memory_gib = {memory_gib:g}: "
            f"train is read from disk in {len(blocks)} blocks",
            file=sys.stderr,
        )
    lengths, reaches = zip(*(_lengths(block) for block in blocks), strict=True)
    stream = TrainStream(blocks, lengths, reaches, normalizer, voiced_range_db)
    held_out = read_groups(others, normalizer, voiced_range_db)
    return StreamedSequences(**vars(held_out), train=stream, block_frames=block_frames)


def _lengths(block: tuple[RowGroup, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Read the number of frames of every clip of a block, and that up to its last target."""
    tables = [group.read(["frames", "gated"]) for group in block]
    lengths = [table["frames"].to_numpy().astype(np.int64) for table in tables]
    reaches = [
        reach_of(table["gated"].combine_chunks().flatten().to_numpy(zero_copy_only=False), of)
        for table, of in zip(tables, lengths, strict=True)
    ]
    return np.concatenate(lengths), np.concatenate(reaches)


def _blocks(
    train: list[RowGroup], block_frames: int, seed: int
) -> tuple[tuple[RowGroup, ...], ...]:
    """Distribute row groups at random over blocks of at most `block_frames` frames."""
    generator = torch.Generator().manual_seed(seed)
    blocks: list[list[RowGroup]] = [[]]
    for index in torch.randperm(len(train), generator=generator).tolist():
        held = sum(group.frames for group in blocks[-1])
        if held + train[index].frames > block_frames:
            blocks.append([])
        blocks[-1].append(train[index])
    return tuple(tuple(block) for block in blocks)
