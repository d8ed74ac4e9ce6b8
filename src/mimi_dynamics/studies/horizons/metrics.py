"""Gains by horizon, and the horizon at which the dynamic gain has halved."""

from collections.abc import Mapping

import numpy as np

from mimi_dynamics.density.fit import LINEAR_BASELINE
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.gains import Gains
from mimi_dynamics.pipeline.conventions import FRAME_MS
from mimi_dynamics.pipeline.params import Params


def half_life(gains: Mapping[int, Estimate]) -> Estimate:
    """Give the distance at which the gain is half of that at the shortest distance.

    Between two distances, the logarithm of the gain is interpolated linearly over the logarithm of
    the distance. If the gain has not halved at the longest distance, the half-life is that
    distance.

    Args:
        gains: gains by distance; the result has the unit of the distances.
    """
    leads = sorted(gains)
    values = np.array([[gains[k].value, *gains[k].resamples] for k in leads])
    level = np.log(np.maximum(values, 1e-9) / np.maximum(values[0] / 2, 1e-9))
    reached = level <= 0
    after = np.where(reached.any(0), reached.argmax(0), len(leads) - 1)
    before = np.maximum(after - 1, 0)
    columns = np.arange(values.shape[1])
    high, low = level[before, columns], np.minimum(level[after, columns], 0)
    share = np.where(high > low, high / np.where(high > low, high - low, 1), 0)
    log_leads = np.log(leads)
    halved = np.exp(log_leads[before] + share * (log_leads[after] - log_leads[before]))
    halved = np.where(reached.any(0), halved, leads[-1])
    halved = np.where(np.isnan(values).any(0), np.nan, halved)
    return Estimate(float(halved[0]), halved[1:])


def horizon_metrics(gains: Gains, head: str) -> dict[str, object]:
    """Give the entry of one horizon in `metrics/detail/horizons.json`."""
    voiced = {}
    if gains.has("voiced"):
        dynamic = gains.dynamic_gain(head, frames="voiced")
        voiced = dynamic.metrics("voiced_dynamic_gain_nats_per_dim")
    return {
        **gains.gain("real", head).metrics("gain_nats_per_dim"),
        **gains.dynamic_gain(head).metrics("dynamic_gain_nats_per_dim"),
        **voiced,
        **gains.gain("shuffled", head).metrics("shuffled_gain_nats_per_dim"),
        **gains.gain("real", LINEAR_BASELINE).metrics("linear_gain_nats_per_dim"),
        "delta": {
            **gains.gain("real", LINEAR_BASELINE, delta=True).metrics("linear_gain_nats_per_dim"),
            **gains.gain("permuted", LINEAR_BASELINE, delta=True).metrics(
                "permuted_gain_nats_per_dim"
            ),
        },
        "frames": len(gains.scored["real"].clip),
    }


def summarise(params: Params, gains: dict[str, dict[int, Gains]]) -> dict[str, object]:
    """Give the contents of `metrics/detail/horizons.json`.

    Args:
        params: all settings.
        gains: gains by split and by horizon in frames.
    """
    by_split = {
        split: {f"k{k}": horizon_metrics(table, params.head) for k, table in by_k.items()}
        | half_life_ms(params, by_k).metrics("half_life_ms")
        for split, by_k in gains.items()
    }
    return by_split.pop("test") | by_split


def half_life_ms(params: Params, gains: dict[int, Gains]) -> Estimate:
    """Give the lead time in milliseconds at which the dynamic gain has halved.

    Args:
        params: all settings.
        gains: gains by horizon in frames.
    """
    return half_life({k * FRAME_MS: gains[k].dynamic_gain(params.head) for k in gains})
