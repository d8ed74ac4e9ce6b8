"""Where the gain lies: by principal component, and by the effect of each component on the sound."""

from functools import partial
from itertools import chain

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.log_mel import log_mel_distance
from mimi_dynamics.density.fit import FitSpec, batches_of
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.evidence.gains import Fits
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import choose_evenly
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
        _terms(fits[job.row, job.head, density].predictor, job, split)
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

    Only the first `LISTENED_FRAMES` frames of a longer clip are decoded.

    Args:
        codec: decodes latents.
        normalizer: maps latents to components.
        latents: the latents of all clips.
        clips: number of clips of the test split to decode, evenly spaced.
        seed: seed of the shuffling.

    Returns:
        (dim,) log-mel distances in nepers.
    """
    of_test = np.flatnonzero(latents.splits == "test")
    chosen = of_test[choose_evenly(len(of_test), clips)]
    starts = np.cumsum(latents.lengths) - latents.lengths
    frames = [
        latents.values[starts[clip] : starts[clip] + min(latents.lengths[clip], LISTENED_FRAMES)]
        for clip in chosen
    ]
    rngs = np.random.default_rng(seed).spawn(len(chosen))
    cores = available_cores()
    jobs = [
        partial(_effects, codec, normalizer, frames[core::cores], rngs[core::cores])
        for core in range(min(cores, len(chosen)))
    ]
    result = chain.from_iterable(run_parallel(jobs, "listen"))
    # Sorting makes the sum independent of how the clips were shared among processes.
    return np.mean(sorted(result), 0)


def _effects(
    codec: Codec, normalizer: Normalizer, clips: list[np.ndarray], rngs: list[np.random.Generator]
) -> list[list[float]]:
    """Give the distance for each component, by clip."""
    with threadpool_limits(1):  # one numpy thread gives the same sums on any number of cores
        return [
            _effects_in_clip(codec, normalizer, clip, rng)
            for clip, rng in zip(clips, rngs, strict=True)
        ]


def _effects_in_clip(
    codec: Codec, normalizer: Normalizer, latents: np.ndarray, rng: np.random.Generator
) -> list[float]:
    kept = normalizer.normalize(latents)
    dim = kept.shape[1]
    versions = np.repeat(kept[None], dim + 1, 0)  # the last version stays unchanged
    for component in range(dim):
        versions[component, :, component] = rng.permutation(kept[:, component])
    restored = np.stack([normalizer.restore(version) for version in versions])
    with torch.no_grad():
        *changed, whole = codec.decode(torch.from_numpy(restored))
    return [log_mel_distance(audio[None], whole[None]).item() for audio in changed]


def effect_metrics(
    gains: np.ndarray, effects: np.ndarray, clip: np.ndarray, bootstrap: ClipBootstrap
) -> dict[str, object]:
    """Give gain and effect of every component, and the gain weighted by these effects.

    Args:
        gains: (frames, dim) gains in nats.
        effects: (dim,) effects in nepers.
        clip: (frames,) index of each frame's clip.
        bootstrap: bootstrap draws of the clips.
    """
    by_component = [bootstrap.mean(gain, clip) for gain in gains.T]
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
