"""Where the gain lies: by principal component, and by the effect of each component on the sound."""

import numpy as np
import torch

from mimi_dynamics.density.fit import FitSpec, batches_of
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.evidence.gains import Fits


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
