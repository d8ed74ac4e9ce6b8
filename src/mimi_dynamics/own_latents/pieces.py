"""Which parts of which clips are used, and splits that were decided before."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mimi_dynamics.own_latents.clips import Clip
from mimi_dynamics.pipeline.conventions import SPLITS
from mimi_dynamics.pipeline.errors import InputError

LEAST_CLIPS = 20
LEAST_FRAMES = 5000
BLOCK_FRAMES = 500  # of a single long array, which has at least LEAST_CLIPS blocks
GAP_FRAMES = 48  # between blocks; densities without a network look 32 frames back
LONGEST_PIECE = 1500  # frames, as long as the longest clips of the pipeline: a batch of one is slow


class Piece(NamedTuple):
    """Frames of a clip that stand together.

    Attributes:
        clip: the clip.
        start: index of the first frame.
        stop: index after the last frame.
        unit: number of the clip, or of the block of a single array: what an interval draws.
    """

    clip: Clip
    start: int
    stop: int
    unit: int

    @property
    def frames(self) -> int:
        """The number of frames."""
        return self.stop - self.start


def check_size(label: str, clips: Sequence[Clip]) -> None:
    """Check the shapes of all clips, before any number is read.

    Raises:
        InputError: there is nothing, too little, or frames are not all of one size.
    """
    if not clips:
        raise InputError(f"{label}: no clips; must be at least {LEAST_CLIPS}, or one long array")
    dims = Counter(clip.shape[1] for clip in clips)
    if len(dims) > 1:
        usual = dims.most_common(1)[0][0]
        first, other = (
            next(clip for clip in clips if (clip.shape[1] == usual) is same)
            for same in (True, False)
        )
        turned = len(dims) > 2 and len({clip.frames for clip in clips}) == 1
        raise InputError(
            f"{other.name}: {other.shape[1]} dimensions, but {first.name} has {usual}; "
            f"{'give (frames, dim): transpose them' if turned else 'all must have as many'}"
        )
    if 1 < len(clips) < LEAST_CLIPS:
        raise InputError(
            f"{label}: {len(clips)} clips; must be at least {LEAST_CLIPS}, or one long array, "
            "which is cut into blocks"
        )
    frames = sum(clip.frames for clip in clips)
    if frames < LEAST_FRAMES:
        longest, dim = max(clip.frames for clip in clips), clips[0].shape[1]
        asked = f"; of (frames, dim) = ({longest}, {dim}), are these the wrong way round?"
        raise InputError(
            f"{label}: {frames:,} frames; must be at least {LEAST_FRAMES:,}, better 40,000: give "
            f"more speech{asked if longest < dim else ''}"
        )


def pieces_of(clips: Sequence[Clip], notes: list[str]) -> list[Piece]:
    """Cut a single clip into blocks with gaps between, and other long clips into pieces.

    Args:
        clips: all clips.
        notes: to which it is added what was done.
    """
    if len(clips) == 1:
        return blocks_of(clips[0], notes)
    pieces = []
    for unit, clip in enumerate(clips):
        parts = -(-clip.frames // LONGEST_PIECE)
        edges = np.linspace(0, clip.frames, parts + 1).astype(int).tolist() if parts else []
        pieces += [Piece(clip, start, stop, unit) for start, stop in pairwise(edges)]
    return pieces


def blocks_of(clip: Clip, notes: list[str]) -> list[Piece]:
    """Cut one long array into blocks, so that what is tested does not touch what is learned."""
    blocks = max(LEAST_CLIPS, clip.frames // BLOCK_FRAMES)
    size = clip.frames // blocks
    gap = min(GAP_FRAMES, size // 10)
    notes.append(
        f"One array of {clip.frames:,} frames was cut into {blocks} blocks of {size - gap} frames "
        f"with gaps of {gap} between them; an interval draws blocks."
    )
    starts = range(0, blocks * size, size)
    return [Piece(clip, start, start + size - gap, unit) for unit, start in enumerate(starts)]


def ready_splits(splits: Sequence[str], groups: Sequence[str] | None) -> np.ndarray:
    """Check splits that were given.

    Raises:
        InputError: one is not known or empty, or a group is in two of them.
    """
    unknown = sorted(set(splits) - set(SPLITS))
    if unknown:
        raise InputError(f"splits: {unknown[0]!r}: must be one of {', '.join(SPLITS)}")
    for split in ("train", "validation", "test"):
        if split not in splits:
            raise InputError(
                f"splits: no clip of {split}; train, validation and test must have some"
            )
    if groups is not None:
        sides: dict[str, str] = {}
        for group, split in zip(groups, splits, strict=True):
            if sides.setdefault(group, split) != split:
                raise InputError(
                    f"groups: {group!r} is in {sides[group]} and in {split}; must be in one of them"
                )
    return np.array(splits)
