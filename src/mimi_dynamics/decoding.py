"""From coordinates back to sound."""

from collections.abc import Callable

import numpy as np
import torch

from mimi_dynamics.codec import Codec
from mimi_dynamics.normalizer import Normalizer

Decoder = Callable[[torch.Tensor], np.ndarray]


def make_decoder(codec: Codec, normalizer: Normalizer) -> Decoder:
    """From (frames, dim) coordinates to (samples,) audio.

    Recordings pass through it too, so that all that differs in a continuation is what is predicted.
    """

    @torch.no_grad()
    def decode(coordinates: torch.Tensor) -> np.ndarray:
        latents = torch.from_numpy(normalizer.restore(coordinates.numpy()))
        return codec.decode(latents[None])[0].clamp(-1, 1).numpy()

    return decode
