"""Where the gain lies: by principal component, and by the effect of each component on the sound."""

from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.log_mel import heard_distance
from mimi_dynamics.density.fit import FitSpec, batches_of
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.evidence.gains import Fits
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.parallel import run_parallel

# Most frames of a clip to decode (8 s): whole clips of a minute took two minutes.
LISTENED_FRAMES = 100


def component_gains(job: FitSpec, fits: Fits, split: str) -> np.ndarray:
    """Give what the past tells about each component, given the components before it.

    By the chain rule, these gains sum to the gain of the frame.

    Args:
        job: a fit with the head `autoregressive`.
        fits: fits that include the two densities of that fit.
        split: the split to score.

    Returns:
        (scored, dim) gains in nats.
    """
    conditional, marginal = (
        _terms(fits[job.row, job.head, density].network, job, split)
        for density in ("conditional", "marginal")
    )
    return conditional - marginal


def _terms(predictor: Predictor, job: FitSpec, split: str) -> np.ndarray:
    predictor.eval()
    with torch.no_grad():
        terms = [predictor.log_prob_by_coordinate(batch) for batch in batches_of(job, split)]
    return torch.cat(terms).double().numpy()


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
        raise InputError("structure: every frame of test that could be decoded is gated")
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


def effect_metrics(
    gains: np.ndarray, effects: np.ndarray | None, clip: np.ndarray, bootstrap: ClipBootstrap
) -> dict[str, object]:
    """Give gain and effect of every component, and the gain weighted by these effects.

    Args:
        gains: (frames, dim) gains in nats.
        effects: (dim,) effects in nepers; None if they are not known, and then there is the gain
            alone.
        clip: (frames,) index of each frame's clip.
        bootstrap: bootstrap draws of the clips.
    """
    by_component = [bootstrap.mean(gain, clip) for gain in gains.T]
    if effects is None:
        named = enumerate(by_component, 1)
        return {"component": {f"pc{number:02d}": of.metrics("gain_nats") for number, of in named}}
    weighted = gains @ (effects / effects.sum())
    least_heard = np.argsort(effects)[: len(effects) // 2]
    share = bootstrap.mean(gains[:, least_heard].sum(1), clip) / bootstrap.mean(gains.sum(1), clip)
    return {
        "component": {
            f"pc{number:02d}": gain.metrics("gain_nats") | {"log_mel_effect": float(effect)}
            for number, (gain, effect) in enumerate(zip(by_component, effects, strict=True), 1)
        },
        "by_effect_on_sound": {
            **bootstrap.mean(gains.mean(1), clip).metrics("plain_gain_nats_per_dim"),
            **bootstrap.mean(weighted, clip).metrics("weighted_gain_nats_per_dim"),
            "least_heard_half": share.metrics("gain_share")
            | {"effect_share": float(effects[least_heard].sum() / effects.sum())},
        },
    }
