"""Leave gated frames out of the comparison of two sounds.

What lies in them is silenced in both sounds, so that it makes no difference even to a window that
reaches into them from a frame that counts.
"""

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.codec.base import FRAME_SIZE


def heard_at(places: Tensor, gated: np.ndarray) -> Tensor:
    """Tell which places lie in frames that count.

    Args:
        places: (places,) int64 indices of samples; one after the last frame belongs to that.
        gated: (frames,) bool, which frames of 80 ms do not count.

    Returns:
        (places,) bool.
    """
    return ~torch.from_numpy(gated)[(places // FRAME_SIZE).clamp(max=len(gated) - 1)]


def silence_gated(audio: Tensor, gated: np.ndarray) -> Tensor:
    """Give (samples,) audio with zeros in place of all gated frames; see `heard_at`."""
    return torch.where(heard_at(torch.arange(len(audio)), gated), audio, 0)
