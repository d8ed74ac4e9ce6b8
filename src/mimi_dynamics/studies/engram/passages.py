"""How similar train is to each passage, that is, what a memory could have learned by heart."""

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.nearest import nearest
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.errors import InputError


def distance_from_train(data: Sequences, split: str, ends: np.ndarray, length: int) -> np.ndarray:
    """Give the distance of each passage from the most similar passage of train.

    The distance is a squared distance, as a share of that between any two passages of train: 0 is a
    repetition, and at 1 passages have nothing in common. Passages of train with a gated frame are
    left out.

    Args:
        data: the clips.
        split: the split of the passages.
        ends: (ends,) last frames of the passages in that split, each at least `length` - 1 frames
            after the start of its clip.
        length: length of a passage in frames.

    Returns:
        (ends,) distances.

    Raises:
        InputError: no passage of train is without a gated frame.
    """
    if not len(ends):
        return np.zeros(0)
    train = data.select("train")
    within = np.concatenate([np.arange(length) for length in train.lengths])
    ends_of_train = np.flatnonzero(within >= length - 1)
    ends_of_train = ends_of_train[whole_passages(train, ends_of_train, length)]
    if not len(ends_of_train):
        raise InputError(f"engram: no passage of {length} frames of train is without silence")
    known = passages(train.frames, ends_of_train, length)
    asked = passages(data.select(split).frames, ends, length)
    nearest_known = known[nearest(asked, known, 1)[:, 0]]
    apart = 2 * known.double().var(0, correction=0).sum()
    return (torch.square(asked - nearest_known).double().sum(1) / apart).numpy()


def whole_passages(data: Sequences, ends: np.ndarray, length: int) -> np.ndarray:
    """Tell which passages have no gated frame, as (ends,) bool; see `passages`."""
    return ~passages(data.gated[:, None], ends, length).any(1).numpy()


def passages(frames: Tensor, ends: np.ndarray, length: int) -> Tensor:
    """Cut passages of (ends, length * dim) from (frames, dim) frames.

    Args:
        frames: (frames, dim) frames.
        ends: (ends,) last frame of each passage.
        length: length of a passage in frames.
    """
    places = torch.from_numpy(ends)[:, None] - torch.arange(length)
    return frames[places].flatten(1)
