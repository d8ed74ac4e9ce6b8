"""Gains by horizon, and between which two leads the dynamic gain has halved."""

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from mimi_dynamics.density.fit import LINEAR_BASELINE
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.gains import STACK, Gains
from mimi_dynamics.evidence.intervals import (
    ByVoice,
    TrainedEstimate,
    over_trainings,
    over_voices,
)

ByLead = Mapping[int, Sequence[Gains]]  # the gains of every training, by horizon in frames


def half_life(gains: Mapping[int, TrainedEstimate | Estimate]) -> dict[str, float]:
    """Give a bracket of the lead at which the gain is half of that at the shortest lead.

    Between two leads that were measured, nothing is known of the gain, so nothing is interpolated.

    Args:
        gains: gains by lead in milliseconds; only that at the shortest lead may be of several
            trainings.

    Returns:
        `half_life_above_ms`, the longest lead up to which the gain is surely more than half, by the
        95 % intervals of the paired differences; and `half_life_below_ms`, the shortest lead at
        which it surely is not. The latter is missing if the gain never surely halves, and both are
        if there is surely no gain to halve, even at the shortest lead.
    """
    leads = sorted(gains)
    half = gains[leads[0]] / 2
    missing = {lead: _less(half, gains[lead]).metrics("missing") for lead in leads}
    kept = list(takewhile(lambda lead: missing[lead]["missing_ci_high"] < 0, leads))
    gone = [lead for lead in leads if missing[lead]["missing_ci_low"] >= 0]
    if not kept:
        return {}
    below = {"half_life_below_ms": gone[0]} if gone else {}
    return {"half_life_above_ms": kept[-1], **below}


def _less(
    half: TrainedEstimate | Estimate, gain: TrainedEstimate | Estimate
) -> TrainedEstimate | Estimate:
    if isinstance(half, TrainedEstimate):
        return half - gain
    if isinstance(gain, TrainedEstimate):
        raise TypeError("only the gain at the shortest lead may be of several trainings")
    return half - gain


def horizon_metrics(trainings: Sequence[Gains], voices: np.ndarray) -> dict[str, object]:
    """Give the entry of one horizon in `metrics/detail/horizons.json`.

    Args:
        trainings: the gains of every training. What is fitted once is in those of the first.
        voices: (clips,) str, who speaks in each clip of the split.
    """
    first = trainings[0]

    def over(measure: Callable[[Gains], Estimate]) -> TrainedEstimate | Estimate:
        return over_trainings([measure(gains) for gains in trainings])

    voiced = {}
    if first.has("voiced"):
        dynamic = over(lambda gains: gains.dynamic_gain(STACK, frames="voiced"))
        voiced = dynamic.metrics("voiced_dynamic_gain_nats_per_dim")
    of_voices = over(lambda gains: by_voice(gains, voices).dynamic_gain(STACK))
    unseen = over_voices(of_voices, "dynamic_gain_nats_per_dim")
    return {
        **over(lambda gains: gains.gain("real", STACK)).metrics("gain_nats_per_dim"),
        **over(lambda gains: gains.dynamic_gain(STACK)).metrics("dynamic_gain_nats_per_dim"),
        **voiced,
        **over(lambda gains: gains.gain("shuffled", STACK)).metrics("shuffled_gain_nats_per_dim"),
        **first.gain("real", LINEAR_BASELINE).metrics("linear_gain_nats_per_dim"),
        "delta": delta_metrics(over(lambda gains: gains.gain("real", STACK, delta=True)), first),
        **({"over_voices": unseen} if unseen else {}),
        "trainings": len(trainings),
        "frames": len(first.scored["real"].clip),
    }


def delta_metrics(gain: TrainedEstimate | Estimate, first: Gains) -> dict[str, object]:
    """Give what the past tells about the change Δx, and what it seems to tell without dynamics.

    Args:
        gain: the gain on Δx.
        first: the gains of the first training.
    """
    linear = first.gain("real", LINEAR_BASELINE, delta=True)
    permuted_linear = first.gain("permuted", LINEAR_BASELINE, delta=True)
    return {
        **(-gain).metrics("dnll_nats_per_dim"),
        **gain.metrics("gain_nats_per_dim"),
        **linear.metrics("linear_gain_nats_per_dim"),
        "permuted": {
            **free_gain(first).metrics("gain_nats_per_dim"),
            **permuted_linear.metrics("linear_gain_nats_per_dim"),
        },
    }


def free_gain(gains: Gains) -> Estimate:
    """Give the gain on Δx of permuted frames, which is what the change gains for free.

    Frames are independent there, so it estimates h(x′ − x) − h(x), where h is entropy per
    dimension and x′ another frame. By the entropy power inequality (Shannon 1948) that is at least
    ½ ln 2, and equal to it only for Gaussian frames.
    """
    marginal = gains.nll("permuted", STACK, "delta_marginal")
    return marginal - gains.nll("permuted", STACK, "marginal")


def by_voice(gains: Gains, voices: np.ndarray) -> Gains:
    """Give the same gains on one voice at a time, in place of draws of clips."""
    of_voices = copy.copy(gains)
    of_voices.bootstrap = ByVoice(voices)
    return of_voices


def summarise(gains: Mapping[str, ByLead], voices: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Give the contents of `metrics/detail/horizons.json`.

    Args:
        gains: gains by split and by horizon.
        voices: (clips,) str by split, who speaks in each clip.
    """
    by_split = {
        split: {
            f"k{k}": horizon_metrics(trainings, voices[split]) for k, trainings in by_lead.items()
        }
        | half_life(
            {
                trainings[0].lead_ms: over_trainings([of.dynamic_gain(STACK) for of in trainings])
                for trainings in by_lead.values()
            }
        )
        for split, by_lead in gains.items()
    }
    return {**by_split.pop("test"), **by_split}
