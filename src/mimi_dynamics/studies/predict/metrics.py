"""The metrics of `predict`: gains, heads, surrogates, point forecasts and calibration."""

from dataclasses import replace
from functools import partial

import numpy as np

from mimi_dynamics.density.fit import WITHOUT_NETWORK, FitSpec
from mimi_dynamics.diagnostics.calibration import Ranks, calibration_metrics, rank_truth
from mimi_dynamics.diagnostics.point_forecast import point_forecast_metrics
from mimi_dynamics.evidence.bootstrap import r2_equivalent
from mimi_dynamics.evidence.gains import POINT_HEAD, STACK, Fits, Gains
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.parallel import run_parallel


def gain_metrics(gains: Gains) -> dict[str, object]:
    """Give the headline gains of one split, on x and Δx, for all frames and voiced frames."""
    gain, dynamic = gains.gain("real", STACK), gains.dynamic_gain(STACK)
    voiced: dict[str, float] = {}
    if gains.has("voiced"):
        voiced |= gains.gain("real", STACK, frames="voiced").metrics("gain_nats_per_dim")
        voiced_dynamic = gains.dynamic_gain(STACK, frames="voiced")
        voiced |= voiced_dynamic.metrics("dynamic_gain_nats_per_dim")
    delta = gains.gain("real", STACK, delta=True)
    return {
        **gain.metrics("gain_nats_per_dim"),
        **dynamic.metrics("dynamic_gain_nats_per_dim"),
        "gain_nats_per_frame": gain.value * gains.dim,
        "dynamic_gain_nats_per_frame": dynamic.value * gains.dim,
        "r2_equiv": r2_equivalent(gain.value),
        "delta": {
            **(-delta).metrics("dnll_nats_per_dim"),
            **delta.metrics("gain_nats_per_dim"),
            **gains.dynamic_gain(STACK, delta=True).metrics("dynamic_gain_nats_per_dim"),
        },
        "voiced": {
            **voiced,
            "share": float(gains.scored["real"].voiced.mean()),
        },
    }


def surrogate_metrics(gains: Gains, rows: list[str]) -> dict[str, dict[str, float]]:
    """Give the gains of each surrogate, on x and on Δx."""
    return {
        row: {
            **gains.gain(row, STACK).metrics("gain_nats_per_dim"),
            **gains.gain(row, STACK, delta=True).metrics("delta_gain_nats_per_dim"),
        }
        for row in rows
        if row != "real"
    }


def head_metrics(gains: Gains, heads: list[str]) -> dict[str, object]:
    """Give NLL and gain of each head on real data, with the tail of its NLL over frames."""
    metrics: dict[str, object] = {}
    for head in heads:
        nll = gains.fits["real", head, "conditional"].nll[gains.split] / gains.dim
        metrics[head] = {
            **gains.nll("real", head, "conditional").metrics("nll_nats_per_dim"),
            "nll_median_nats_per_dim": float(np.median(nll)),
            "nll_q999_nats_per_dim": float(np.quantile(nll, 0.999)),
            "nll_max_nats_per_dim": float(nll.max()),
            "marginal_nll_nats_per_dim": gains.nll("real", head, "marginal").value,
            "gain_nats_per_dim": gains.gain("real", head).value,
            "validation_nll_nats_per_dim": gains.fits["real", head, "conditional"].validation_nll
            / gains.dim,
        }
    return metrics


def calibrate(template: FitSpec, fits: Fits) -> dict[str, Ranks]:
    """Rank the observed frames of test among samples of each head."""
    heads = list(template.params.heads)
    predictors = [fits["real", head, "conditional"].network for head in heads]
    jobs = [partial(rank_truth, template, predictor, "test") for predictor in predictors]
    return dict(zip(heads, run_parallel(jobs, "calibrate"), strict=True))


def summarise(
    template: FitSpec,
    rows: dict[str, Sequences],
    fits: Fits,
    best: str,
    gains: dict[str, Gains],
    ranks: dict[str, Ranks],
) -> dict[str, object]:
    """Give the contents of `metrics/detail/predict.json`.

    Args:
        template: settings shared by all fits.
        rows: the data by name.
        fits: all fits.
        best: name of the best head.
        gains: gains by split.
        ranks: ranks of observed frames by head.
    """
    test = gains["test"]
    surrogates = surrogate_metrics(test, list(rows))
    points = {
        row: point_forecast_metrics(
            replace(template, sequences=rows[row]), fits[row, POINT_HEAD, "conditional"], "test"
        )
        for row in ("real", "shuffled")
    }
    surrogates["shuffled"] |= points["shuffled"]
    metrics = {
        "horizon_frames": template.horizon,
        "dim": test.dim,
        "best_head": best,
        "weights": fits["real", STACK, "conditional"].weights,
        "frames": len(test.scored["real"].clip),
        **gain_metrics(test),
        **points["real"],
        "heads": head_metrics(test, [*template.params.heads, *WITHOUT_NETWORK, STACK]),
        "calibration": calibration_metrics(ranks, test.bootstrap),
        "surrogates": surrogates,
    }
    if "test_voice" in gains:
        metrics["test_voice"] = gain_metrics(gains["test_voice"])
    return metrics
