"""Point forecasts, scored by measures that are well known and can mislead."""

import torch

from mimi_dynamics.density.fit import FitSpec, FittedDensity, batches_of


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
    predictor = fitted.network
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
