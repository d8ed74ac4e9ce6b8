"""How similar train is to each passage, that is, what a memory could have learned by heart."""

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.nearest import nearest
from mimi_dynamics.latents.sequences import Sequences


def distance_from_train(data: Sequences, split: str, ends: np.ndarray, length: int) -> np.ndarray:
    """Give the distance of each passage from the most similar passage of train.

    The distance is a squared distance, as a share of that between any two passages of train: 0 is a
    repetition, and at 1 passages have nothing in common.

    Args:
        data: the clips.
        split: the split of the passages.
        ends: (ends,) last frames of the passages in that split, each at least `length` - 1 frames
            after the start of its clip.
        length: length of a passage in frames.

    Returns:
        (ends,) distances.
    """
    train = data.select("train")
    within = np.concatenate([np.arange(length) for length in train.lengths])
    known = passages(train.frames, np.flatnonzero(within >= length - 1), length)
    asked = passages(data.select(split).frames, ends, length)
    nearest_known = known[nearest(asked, known, 1)[:, 0]]
    apart = 2 * known.double().var(0, correction=0).sum()
    return (torch.square(asked - nearest_known).double().sum(1) / apart).numpy()


def passages(frames: Tensor, ends: np.ndarray, length: int) -> Tensor:
    """Cut passages of (ends, length * dim) from (frames, dim) frames.

    Args:
        frames: (frames, dim) frames.
        ends: (ends,) last frame of each passage.
        length: length of a passage in frames.
    """
    places = torch.from_numpy(ends)[:, None] - torch.arange(length)
    return frames[places].flatten(1)
