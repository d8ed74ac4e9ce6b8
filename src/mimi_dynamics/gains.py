"""From fitted densities to gains: every row of data, every subset of frames, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from mimi_dynamics.compute import run_fits
from mimi_dynamics.estimation import FLOOR, Fit, Fitted, batches_of, fit_densities
from mimi_dynamics.scoring import ClipBootstrap, Estimate, r2_equivalent
from mimi_dynamics.sequences import Sequences

POINT_HEAD = "gaussian"  # its mean is the maximum-likelihood point forecast
Fits = dict[tuple[str, str, str], Fitted]  # by row, head, density
Frames = Literal["all", "voiced", "silent"]


def fit_all(template: Fit, rows: Mapping[str, Sequences], heads: list[str]) -> tuple[Fits, str]:
    """Fit every head to the real data, then the best one to every surrogate and to Δx.

    Args:
        template: settings shared by all fits.
        rows: the data by name, `real` among them.
        heads: the heads to try, beside `FLOOR`.

    Returns:
        All fits, and the name of the head with the best conditional validation NLL on real data.
    """
    jobs = [_fit(template, rows, "real", head) for head in [*heads, FLOOR]]
    # The point forecast wants the gaussian head on the shuffled twin too, whichever head wins.
    points = [_fit(template, rows, row, POINT_HEAD) for row in ("real", "shuffled")]
    fits = fit_many(jobs + points)
    best = best_head(fits, "real", heads)
    jobs = [_fit(template, rows, row, best) for row in rows]
    deltas = [replace(job, delta=True) for job in jobs]
    missing = [job for job in jobs if (job.row, best, "conditional") not in fits]
    return fits | fit_many(missing + deltas), best


def best_head(fits: Fits, row: str, heads: list[str]) -> str:
    """The head with the best conditional NLL on the validation split of one row of data."""
    return min(heads, key=lambda head: fits[row, head, "conditional"].validation_nll)


def _fit(template: Fit, rows: Mapping[str, Sequences], row: str, head: str) -> Fit:
    return replace(template, row=row, sequences=rows[row], head=head)


def fit_many(jobs: list[Fit]) -> Fits:
    """Run fits as `run_fits` does, each once even if asked for twice."""
    # Flows take longest, closed forms no time: long ones first keeps all cores busy to the end.
    cost = {"flow": 0, "autoregressive": 1, "mdn": 2, "gaussian": 3, FLOOR: 4}
    unique = {(job.delta, cost[job.head], job.row): job for job in jobs}
    ordered = [unique[key] for key in sorted(unique)]
    fitted = run_fits(fit_densities, ordered, "fit", ordered[0].compute)
    return {
        (job.row, job.head, density): result
        for job, results in zip(ordered, fitted, strict=True)
        for density, result in results.items()
    }


@dataclass(frozen=True)
class Scored:
    """The scored frames of one split of one row.

    Attributes:
        clip: (scored,) index of the clip within the split.
        voiced: (scored,) bool.
    """

    clip: np.ndarray
    voiced: np.ndarray

    @classmethod
    def of(cls, job: Fit, split: str) -> "Scored":
        """Which frames `job` is scored on, in the order of its NLLs."""
        sequences = job.sequences.select(split)
        frame = torch.cat([batch.frame for batch in batches_of(job, split)]).numpy()
        return cls(sequences.clip_of_frame[frame], sequences.voiced.numpy()[frame])


class Gains:
    """Gains of rows of data over the same clips, comparable in pairs.

    Args:
        template: settings shared by all fits.
        rows: the data by name.
        fits: what `fit_all` gave.
        split: `test` or `test_voice`.
        bootstrap: draws of that split's clips.
    """

    def __init__(
        self,
        template: Fit,
        rows: Mapping[str, Sequences],
        fits: Fits,
        split: str,
        bootstrap: ClipBootstrap,
    ) -> None:
        self.fits, self.split, self.bootstrap = fits, split, bootstrap
        jobs = {name: replace(template, sequences=data) for name, data in rows.items()}
        self.scored = {name: Scored.of(job, split) for name, job in jobs.items()}
        self.dim = template.sequences.dim

    def nll(self, row: str, head: str, density: str, frames: Frames = "all") -> Estimate:
        """Mean NLL in nats per dimension, of all or only some of the scored frames."""
        values = self.fits[row, head, density].nll[self.split]
        scored = self.scored[row]
        every = np.full(len(values), fill_value=True)
        kept = {"all": every, "voiced": scored.voiced, "silent": ~scored.voiced}[frames]
        return self.bootstrap.mean(values[kept], scored.clip[kept]) / self.dim

    def gain(self, row: str, head: str, *, delta: bool = False, frames: Frames = "all") -> Estimate:
        """NLL of the marginal minus NLL of the conditional, in nats per dimension."""
        marginal = self.nll(row, head, "delta_marginal" if delta else "marginal", frames)
        return marginal - self.nll(row, head, "conditional", frames)

    def dynamic_gain(self, head: str, *, delta: bool = False, frames: Frames = "all") -> Estimate:
        """Gain on real data beyond that on shuffled frames: the evidence for dynamics."""
        real = self.gain("real", head, delta=delta, frames=frames)
        return real - self.gain("shuffled", head, delta=delta, frames=frames)


def clip_bootstrap(sequences: Sequences, split: str, samples: int, seed: int) -> ClipBootstrap:
    """The draws of one split's clips that all of its estimates share."""
    return ClipBootstrap(int((sequences.splits == split).sum()), samples, seed)


def half_life(gains: Mapping[int, Estimate]) -> Estimate:
    """Distance at which the gain is half of that at the shortest one.

    Between two distances the logarithm of the gain runs straight over the logarithm of the
    distance; a gain that has not halved at the longest distance has that one for its half-life.

    Args:
        gains: by distance, in the unit of the answer.
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
    return Estimate(float(halved[0]), halved[1:])


def horizon_metrics(gains: Gains, head: str) -> dict[str, object]:
    """One distance of `metrics/horizons.json`."""
    return {
        **gains.gain("real", head).metrics("gain_nats_per_dim"),
        **gains.dynamic_gain(head).metrics("dynamic_gain_nats_per_dim"),
        **gains.dynamic_gain(head, frames="voiced").metrics("voiced_dynamic_gain_nats_per_dim"),
        **gains.gain("shuffled", head).metrics("shuffled_gain_nats_per_dim"),
        **gains.gain("real", FLOOR).metrics("linear_gain_nats_per_dim"),
        "delta": {
            **gains.gain("real", FLOOR, delta=True).metrics("linear_gain_nats_per_dim"),
            **gains.gain("permuted", FLOOR, delta=True).metrics("permuted_gain_nats_per_dim"),
        },
        "frames": len(gains.scored["real"].clip),
    }


def gain_metrics(gains: Gains, head: str) -> dict[str, object]:
    """Headline gains of one split: on x and on Δx, all and voiced frames."""
    gain, dynamic = gains.gain("real", head), gains.dynamic_gain(head)
    voiced, voiced_dynamic = (
        gains.gain("real", head, frames="voiced"),
        gains.dynamic_gain(head, frames="voiced"),
    )
    delta = gains.gain("real", head, delta=True)
    return {
        **gain.metrics("gain_nats_per_dim"),
        **dynamic.metrics("dynamic_gain_nats_per_dim"),
        "gain_nats_per_frame": gain.value * gains.dim,
        "dynamic_gain_nats_per_frame": dynamic.value * gains.dim,
        "r2_equiv": r2_equivalent(gain.value),
        "delta": {
            **(-delta).metrics("dnll_nats_per_dim"),
            **delta.metrics("gain_nats_per_dim"),
            **gains.dynamic_gain(head, delta=True).metrics("dynamic_gain_nats_per_dim"),
        },
        "voiced": {
            **voiced.metrics("gain_nats_per_dim"),
            **voiced_dynamic.metrics("dynamic_gain_nats_per_dim"),
            "share": float(gains.scored["real"].voiced.mean()),
        },
    }


def surrogate_metrics(gains: Gains, head: str, rows: list[str]) -> dict[str, object]:
    """Gains of each surrogate, on x and on Δx."""
    return {
        row: {
            **gains.gain(row, head).metrics("gain_nats_per_dim"),
            **gains.gain(row, head, delta=True).metrics("delta_gain_nats_per_dim"),
        }
        for row in rows
        if row != "real"
    }


def head_metrics(gains: Gains, heads: list[str]) -> dict[str, object]:
    """NLL and gain of each head on real data, with the tail of its per-frame NLL."""
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


def point_forecast_metrics(job: Fit, fitted: Fitted, split: str) -> dict[str, float]:
    """How the point forecast looks by the measures that mislead: R², direction, magnitude of Δx.

    `r2_one_step` is of x about its train mean; `direction_cosine` the mean cosine between Δx and
    its forecast, 0.707 for frames without any dynamics; `log_magnitude_r2` the squared
    correlation of log |Δx| with that of its forecast, spread included.
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
