"""The one way to what `encode` and `normalize` wrote: all in memory, or train from disk.

Only `predict`, `horizon` and `horizons` can do without all latents in memory.
"""

import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mimi_dynamics.latents.normalizer import Normalizer, load_normalizer, normalized_sequences
from mimi_dynamics.latents.row_groups import RowGroup, read_groups, row_groups
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents, read_latents
from mimi_dynamics.latents.streaming import StreamedSequences, TrainStream
from mimi_dynamics.pipeline.distributed import is_main_process
from mimi_dynamics.pipeline.errors import InputError, require
from mimi_dynamics.pipeline.params import Params

# Of the latents as encoded, in memory while they are read and normalised: 8.0 were measured of 128
# dimensions and 8.1 of 512 (docs/performance_training.md, as for what follows).
READ_COPIES = 8.5
# Of whitened frames, with surrogates and batches: 5 were measured.
HELD_COPIES = 8
BLOCKS = 2  # in memory: one to train on, one being read
READERS = 2  # threads that read; what each once needed is not given back
GIB = 2**30


LATENTS = Path("data/latents")
NORMALIZER = Path("models/normalizer.safetensors")


class Loaded(NamedTuple):
    """Latents as encoded, what whitens them, and the whitened sequences that models see."""

    latents: Latents
    normalizer: Normalizer
    sequences: Sequences


def load(params: Params) -> Loaded:
    """Read all latents into memory.

    Raises:
        InputError: `encode` or `normalize` has not run.
    """
    latents = read_latents(LATENTS)
    normalizer = load_normalizer(require(NORMALIZER, "normalize"))
    sequences = normalized_sequences(latents, normalizer, params.latents.voiced_range_db)
    return Loaded(latents, normalizer, sequences)


def read_data(params: Params) -> Sequences:
    """What `encode` and `normalize` wrote, as models see it; streamed if it is too much.

    Raises:
        InputError: `memory_gib` is too little even for that.
    """
    groups = row_groups(LATENTS)
    if resident_bytes(groups, params.latents.dim) <= params.memory_gib * GIB:
        return load(params).sequences
    normalizer = load_normalizer(require(NORMALIZER, "normalize"))
    return stream_data(
        groups, normalizer, params.latents.voiced_range_db, params.memory_gib, params.seed
    )


def resident_bytes(groups: list[RowGroup], dim: int) -> float:
    """What a process takes at most that has all frames in memory, `dim` coordinates of each."""
    frames = sum(group.frames for group in groups)
    return 4 * frames * max(READ_COPIES * groups[0].dim, HELD_COPIES * dim)


def stream_data(
    groups: list[RowGroup],
    normalizer: Normalizer,
    voiced_range_db: float,
    memory_gib: float,
    seed: int,
) -> StreamedSequences:
    """Held-out splits in memory, and train in blocks as large as what is left of it allows.

    Args:
        groups: of all splits.
        normalizer: of the coordinates.
        voiced_range_db: see `voiced_frames`.
        memory_gib: for one process.
        seed: of who shares a block.

    Raises:
        InputError: there is too little memory.
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
    lengths = tuple(
        np.concatenate([group.read(["frames"])["frames"].to_numpy() for group in block])
        for block in blocks
    )
    stream = TrainStream(blocks, lengths, normalizer, voiced_range_db)
    held_out = read_groups(others, normalizer, voiced_range_db)
    return StreamedSequences(**vars(held_out), train=stream, block_frames=block_frames)


def _blocks(
    train: list[RowGroup], block_frames: int, seed: int
) -> tuple[tuple[RowGroup, ...], ...]:
    """Row groups drawn into blocks of at most so many frames."""
    generator = torch.Generator().manual_seed(seed)
    blocks: list[list[RowGroup]] = [[]]
    for index in torch.randperm(len(train), generator=generator).tolist():
        held = sum(group.frames for group in blocks[-1])
        if held + train[index].frames > block_frames:
            blocks.append([])
        blocks[-1].append(train[index])
    return tuple(tuple(block) for block in blocks)
