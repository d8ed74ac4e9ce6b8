"""On which side of the split each part of a clip lies, and which parts are measured."""

from collections.abc import Mapping, Sequence

import numpy as np

from mimi_dynamics.own_latents.clips import Clip
from mimi_dynamics.own_latents.pieces import Piece
from mimi_dynamics.pipeline.errors import InputError

LEAST_HELD_OUT = 4  # clips or groups of validation, and as many of test
SHARE_HELD_OUT = 0.1  # of the frames, in each of the two
MOST_OF_ONE = 0.25  # of the frames: a clip or group with more is learned from and not held out
LEAST_GROUPS = 5  # with fewer, one group would be most of what is learned from


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
