"""How long clips are: up to where they have targets, which to batch together, and errors if none.

All of it needs the number of frames of every clip, but none of the frames.
"""

import numpy as np

from mimi_dynamics.pipeline.errors import InputError


def reach_of(gated: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Give the number of frames of each clip up to the last that is not gated, as (clips,).

    Args:
        gated: (frames,) bool, see `Sequences`.
        lengths: (clips,) number of frames of each clip.
    """
    starts = np.cumsum(lengths) - lengths
    within = np.arange(len(gated)) - np.repeat(starts, lengths)
    return np.maximum.reduceat(np.where(gated, 0, within + 1), starts)


def bucket_by_length(
    lengths: np.ndarray, usable: np.ndarray, batch_frames: int
) -> list[np.ndarray]:
    """Group clips into batches of similar length.

    Args:
        lengths: (clips,) number of frames of each clip.
        usable: (clips,) bool, which clips to take, such as those that have a target.
        batch_frames: most padded frames in a batch, unless a single clip has more.

    Returns:
        The indices of the clips in each batch, with the shortest clips first. There may be no
        batch at all.
    """
    chosen = np.flatnonzero(usable)
    groups: list[list[int]] = []
    for clip in chosen[np.argsort(lengths[chosen], kind="stable")]:
        if groups and (len(groups[-1]) + 1) * lengths[clip] <= batch_frames:
            groups[-1].append(clip)
        else:
            groups.append([clip])
    return [np.array(group) for group in groups]


def too_far(horizon: int, first: int, reach: np.ndarray) -> InputError:
    """Make the error to raise if no clip of a split is long enough to have a target.

    Args:
        horizon: how many frames ahead the target lies.
        first: index within a clip of the first frame that may be a target.
        reach: (clips,) see `Sequences.reach`.
    """
    longest = int(reach.max(initial=0))
    if not longest:
        return all_gated("a split")
    return InputError(
        f"horizon = {horizon} (first target at frame {first}): "
        f"must be below the longest clip of every split, here {longest} frames"
    )


def all_gated(split: str) -> InputError:
    """Make the error to raise if no frame of a split counts.

    Args:
        split: the split, in words.
    """
    return InputError(
        f"data/latents: every frame of {split} is in or beside digital silence, or cut short by "
        "the end of its clip, so none is left to score; look at silent_share and padded_share in "
        "metrics/detail/encode.json"
    )
