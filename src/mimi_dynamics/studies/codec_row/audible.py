"""How much of what is predictable is heard: components weighted by what they do to the sound."""

import numpy as np
import torch

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec, batches_of
from mimi_dynamics.density.var import fit_var, squared_errors
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.gains import clip_bootstrap
from mimi_dynamics.latents.sequences import in_memory
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.without_audio import has_decoder
from mimi_dynamics.quality.components import component_effects
from mimi_dynamics.studies.codec_row.subjects import Subject

EFFECT_CLIPS = 12  # decoded to find what each component does to the sound


def audible(subject: Subject, codec: Codec, params: Params) -> dict[str, float]:
    """Give the gain of components one frame ahead, each weighted by its effect on the sound.

    The gain of a component is that of a linear model, −½ log(1 − R²); its effect is how much sound
    changes when the component alone is shuffled in time, as in stage `structure`. Whitening makes
    all components count alike, whether they are heard or not.

    Args:
        subject: the latents.
        codec: their codec.
        params: all settings.

    Returns:
        `audible_gain_nats_per_dim`, and `audible_ratio`, the same over the mean of all components
        alike, by the same model: it is above 1 if what is heard more can be predicted better. Their
        intervals are over clips of test, and hold the effects fixed. Nothing for latents that have
        no sound beside them; see `has_decoder`.
    """
    if not has_decoder(subject.latents.info):
        return {}
    data = subject.data
    effects = component_effects(
        codec, subject.normalizer, subject.latents, EFFECT_CLIPS, params.seed
    )
    job = FitSpec("real", data, LINEAR_BASELINE, NEXT_FRAME, params.predict, params.seed)
    of_split = {split: batches_of(job, split) for split in ("train", "validation", "test")}
    var = fit_var(of_split["train"], in_memory(of_split["validation"]), params.predict.var_order)
    test = in_memory(of_split["test"])
    squares = squared_errors(var, test, data.train_mean())
    clip = data.select("test").clip_of_frame[torch.cat([batch.frame for batch in test]).numpy()]
    draws = clip_bootstrap(data, "test", params.predict.bootstrap_samples, params.seed)
    left, whole = (_by_draw(of.numpy(), clip, draws) for of in squares)
    gains = -0.5 * np.log(left / whole)
    weighted, plain = (
        Estimate(float(of[0]), of[1:]) for of in (effects / effects.sum() @ gains, gains.mean(0))
    )
    ratio = weighted / plain
    return {**weighted.metrics("audible_gain_nats_per_dim"), **ratio.metrics("audible_ratio")}


def _by_draw(values: np.ndarray, clip: np.ndarray, draws: ClipBootstrap) -> np.ndarray:
    """Give the mean of each column of (frames, dim), and its draws, as (dim, 1 + draws)."""
    means = [draws.mean(column, clip) for column in values.T]
    return np.array([[mean.value, *mean.resamples] for mean in means])
