"""What the ear gets: log-mel distance of what is decoded from the state, alone and with z_rec."""

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.codec import Codec
from mimi_dynamics.codec_losses import log_mel_distance
from mimi_dynamics.normalizer import Normalizer
from mimi_dynamics.sequences import Sequences

DECODED_CLIPS = 32  # evenly spaced over the test split: two minutes of speech


def decoded_distances(
    codec: Codec, normalizer: Normalizer, test: Sequences, readings: dict[str, Tensor]
) -> dict[str, float]:
    """Mean log-mel distance in nepers to what is decoded from x itself, over some clips.

    Args:
        codec: that the latents are of.
        normalizer: from coordinates to latents.
        test: the frames x of the test clips.
        readings: (frames, dim) other versions of them, by name.
    """
    versions = {"x": test.frames, **readings}
    ends = np.cumsum(test.lengths)
    clips = np.unique(np.linspace(0, len(ends) - 1, DECODED_CLIPS).astype(int))
    distances: dict[str, list[float]] = {name: [] for name in readings}
    for clip in clips:
        part = slice(ends[clip] - test.lengths[clip], ends[clip])
        latents = [normalizer.restore(frames[part].numpy()) for frames in versions.values()]
        with torch.no_grad():
            original, *others = codec.decode(torch.from_numpy(np.stack(latents)))
        for name, other in zip(readings, others, strict=True):
            distance = log_mel_distance(other.flatten()[None], original.flatten()[None])
            distances[name].append(distance.item())
    return {name: float(np.mean(values)) for name, values in distances.items()}
