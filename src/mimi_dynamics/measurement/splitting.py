"""Which parts of which clips are measured, and on which side of the split each lies."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mimi_dynamics.measurement.clips import Clip
from mimi_dynamics.pipeline.conventions import SPLITS
from mimi_dynamics.pipeline.errors import InputError

LEAST_CLIPS = 20
LEAST_FRAMES = 5000
BLOCK_FRAMES = 500  # of a single long array, which has at least LEAST_CLIPS blocks
GAP_FRAMES = 48  # between blocks; densities without a network look 32 frames back
LONGEST_PIECE = 1500  # frames, as long as the longest clips of the pipeline: a batch of one is slow
LEAST_HELD_OUT = 4  # clips or groups of validation, and as many of test
SHARE_HELD_OUT = 0.1  # of the frames, in each of the two
MOST_OF_ONE = 0.25  # of the frames: a clip or group with more is learned from and not held out
LEAST_GROUPS = 5  # with fewer, one group would be most of what is learned from


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
        raise InputError(
            f"{label}: {frames:,} frames; must be at least {LEAST_FRAMES:,}, better 40,000: give "
            "more speech"
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


def named(what: str, given: Sequence[str] | Mapping[str, str], clips: Sequence[Clip]) -> list[str]:
    """Bring groups or splits into the order of the clips.

    Args:
        what: `groups` or `splits`.
        given: one for each clip, in their order or by the key of the clip.
        clips: all clips.

    Raises:
        InputError: there are not as many as clips, or a clip is not named.
    """
    if isinstance(given, Mapping):
        of = {str(key): str(value) for key, value in given.items()}
        missing = [clip.key for clip in clips if clip.key not in of]
        if missing:
            raise InputError(
                f"{what}: {missing[0]!r} is not named ({len(missing)} of {len(clips)} clips); must "
                "have every clip"
            )
        return [of[clip.key] for clip in clips]
    values = [str(value) for value in np.asarray(given).reshape(-1).tolist()]
    if len(values) != len(clips):
        raise InputError(f"{what}: {len(values)}, but {len(clips)} clips; must have one for each")
    return values


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


def drawn_splits(pieces: Sequence[Piece], groups: Sequence[str] | None, seed: int) -> np.ndarray:
    """Draw which clips, or which whole groups of them if there are enough, are held out.

    Args:
        pieces: all pieces.
        groups: the group of each piece's clip; None for none.
        seed: of the draw.

    Returns:
        (pieces,) str, the split of each.
    """
    units = [str(piece.unit) for piece in pieces]
    if groups is not None and len(set(groups)) < LEAST_GROUPS:
        groups = None
    sides = units if groups is None else list(groups)
    names, of_piece = np.unique(sides, return_inverse=True)
    frames = np.bincount(of_piece, [piece.frames for piece in pieces])
    least = 1 if groups is not None else LEAST_HELD_OUT
    order = np.random.default_rng(seed).permutation(len(names))
    split_of = np.full(len(names), "train", dtype="<U10")
    for split in ("test", "validation"):
        small = frames <= MOST_OF_ONE * frames.sum()
        free = [name for name in order if split_of[name] == "train" and small[name]]
        taken, count = 0.0, 0
        for name in free:
            enough = taken >= SHARE_HELD_OUT * frames.sum() or count >= len(names) // 3
            if count >= least and enough:
                break
            split_of[name] = split
            taken, count = taken + frames[name], count + 1
    return split_of[of_piece]


def thinned(
    pieces: list[Piece], splits: np.ndarray, most: int, notes: list[str]
) -> tuple[list[Piece], np.ndarray]:
    """Keep every n-th piece of each split, if there are more frames than are measured.

    Args:
        pieces: all pieces.
        splits: (pieces,) the split of each.
        most: number of frames.
        notes: to which it is added what was done.
    """
    total = sum(piece.frames for piece in pieces)
    step = -(-total // most)
    if step <= 1:
        return pieces, splits
    kept = np.sort(np.concatenate([np.flatnonzero(splits == of)[::step] for of in set(splits)]))
    chosen = [pieces[place] for place in kept]
    notes.append(
        f"Measured on {sum(piece.frames for piece in chosen):,} of {total:,} frames, one clip or "
        f"piece of a clip in {step}."
    )
    return chosen, splits[kept]
