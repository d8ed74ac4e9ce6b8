"""What each principal component of latents does to the sound."""

from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.log_mel import heard_distance
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.parallel import run_parallel

# Most frames of a clip to decode (8 s): whole clips of a minute took two minutes.
LISTENED_FRAMES = 100


def component_effects(
    codec: Codec, normalizer: Normalizer, latents: Latents, clips: int, seed: int
) -> np.ndarray:
    """Measure the change of the sound when one component is shuffled in time before decoding.

    Only the first `LISTENED_FRAMES` frames of a longer clip are decoded. Gated frames stay in
    place, and their sound does not count.

    Args:
        codec: decodes latents.
        normalizer: maps latents to components.
        latents: the latents of all clips.
        clips: number of clips of the test split to decode, evenly spaced.
        seed: seed of the shuffling.

    Returns:
        (dim,) log-mel distances in nepers.

    Raises:
        InputError: all frames to decode are gated.
    """
    starts = np.cumsum(latents.lengths) - latents.lengths
    parts = [
        slice(starts[clip], starts[clip] + min(latents.lengths[clip], LISTENED_FRAMES))
        for clip in np.flatnonzero(latents.splits == "test")
    ]
    parts = [part for part in parts if not latents.gated[part].all()]
    if not parts:
        raise InputError("every frame of test that could be decoded is gated")
    chosen = choose_evenly(len(parts), clips)
    listened = [
        Listened(latents.values[parts[number]], latents.gated[parts[number]], rng)
        for number, rng in zip(chosen, np.random.default_rng(seed).spawn(len(chosen)), strict=True)
    ]
    cores = available_cores()
    jobs = [
        partial(_effects, codec, normalizer, listened[core::cores])
        for core in range(min(cores, len(listened)))
    ]
    result = chain.from_iterable(run_parallel(jobs, "listen"))
    # Sorting makes the sum independent of how the clips were shared among processes.
    return np.mean(sorted(result), 0)


class Listened(NamedTuple):
    """What is decoded of one clip.

    Attributes:
        latents: (frames, latent_dim), not whitened.
        gated: (frames,) bool, which frames do not count.
        rng: draws the order of the others.
    """

    latents: np.ndarray
    gated: np.ndarray
    rng: np.random.Generator


def _effects(codec: Codec, normalizer: Normalizer, clips: list[Listened]) -> list[list[float]]:
    """Give the distance for each component, by clip."""
    with threadpool_limits(1):  # one numpy thread gives the same sums on any number of cores
        return [_effects_in_clip(codec, normalizer, clip) for clip in clips]


def _effects_in_clip(codec: Codec, normalizer: Normalizer, clip: Listened) -> list[float]:
    kept, heard = normalizer.normalize(clip.latents), ~clip.gated
    dim = kept.shape[1]
    versions = np.repeat(kept[None], dim + 1, 0)  # the last version stays unchanged
    for component in range(dim):
        versions[component, heard, component] = clip.rng.permutation(kept[heard, component])
    restored = np.stack([normalizer.restore(version) for version in versions])
    with torch.no_grad():
        *changed, whole = codec.decode(torch.from_numpy(restored))
    return [heard_distance(audio, whole, clip.gated) for audio in changed]
