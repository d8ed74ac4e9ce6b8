"""The metrics of `predict`: gains, heads, surrogates, point forecasts and calibration."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from mimi_dynamics.density.fit import WITHOUT_NETWORK, FitSpec, FittedDensity, batches_of
from mimi_dynamics.evidence.bootstrap import r2_equivalent
from mimi_dynamics.evidence.gains import POINT_HEAD, STACK, Fits, Gains
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.studies.predict.calibration import Ranks, calibration_metrics, rank_truth


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


def surrogate_metrics(gains: Gains, rows: list[str]) -> dict[str, object]:
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
    metrics = {}
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


def point_forecast_metrics(job: FitSpec, fitted: FittedDensity, split: str) -> dict[str, float]:
    """Score the point forecast by measures that can mislead: R², direction and magnitude of Δx.

    Args:
        job: the fit, which gives the data.
        fitted: a fit whose head has a known mean and variance.
        split: name of the split.

    Returns:
        `r2_one_step`, the R² of x about its train mean; `mse_per_dim`, the mean squared error of a
        coordinate; `direction_cosine`, the mean cosine between Δx and its forecast, which is
        0.707 for frames without any dynamics; and `log_magnitude_r2`, the squared correlation
        of log |Δx| with that of its forecast, spread included.
    """
    predictor = fitted.predictor
    squared, total, cosines, magnitudes = 0.0, 0.0, [], []
    train_mean = job.sequences.train_mean()
    predictor.eval()
    for batch in batches_of(job, split):
        with torch.no_grad():
            mean, spread = predictor.mean_and_spread(batch)
        target, now = batch.target[batch.scored], batch.context[batch.scored]
        squared += (target - mean).square().sum().item()
        total += (target - train_mean).square().sum().item()
        cosines.append(torch.cosine_similarity(target - now, mean - now))
        forecast = (mean - now).square().sum(1) + spread
        magnitudes.append(
            torch.stack([(target - now).norm(dim=1).clamp(min=1e-6).log(), forecast.log() / 2])
        )
    correlation = torch.corrcoef(torch.cat(magnitudes, 1).double())[0, 1].item()
    return {
        "r2_one_step": 1 - squared / total,
        "mse_per_dim": squared / (sum(len(c) for c in cosines) * job.sequences.dim),
        "direction_cosine": torch.cat(cosines).double().mean().item(),
        "log_magnitude_r2": correlation**2,
    }


def calibrate(template: FitSpec, fits: Fits) -> dict[str, Ranks]:
    """Rank the observed frames of test among samples of each head."""
    heads = list(template.params.heads)
    predictors = [fits["real", head, "conditional"].predictor for head in heads]
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
