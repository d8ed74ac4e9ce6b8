"""Properties of latents before any prediction: dimension, autocorrelation and share of loudness."""

import numpy as np

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Frames

COMPONENTS = (1, 2, 4, 8, 16, 32, 64, 128)  # numbers of leading components to report
LOUDNESS_BINS = 64


def effective_dimension(values: np.ndarray) -> float:
    """Give the participation ratio (Σλ)² / Σλ² of the variances λ of principal components.

    Args:
        values: (frames, dim) values.
    """
    variances = _variances(values)
    return float(variances.sum() ** 2 / np.square(variances).sum())


def variance_kept_by_leading(values: np.ndarray) -> dict[int, float]:
    """Give the share of variance in the leading principal components, by their number.

    Args:
        values: (frames, dim) values.
    """
    variances = _variances(values)
    shares = variances.cumsum() / variances.sum()
    return {count: float(shares[min(count, len(shares)) - 1]) for count in COMPONENTS}


def _variances(values: np.ndarray) -> np.ndarray:
    covariance = np.cov(values.astype(np.float64), rowvar=False)
    return np.linalg.eigvalsh(covariance)[::-1].clip(min=0)


def loudness_share(
    values: Frames, rms_db: np.ndarray, train: np.ndarray, test: np.ndarray
) -> float:
    """Give the R² on test of predicting each frame from its loudness, by any function of it.

    Args:
        values: (frames, dim) values to explain; coordinates count in proportion to their variance.
        rms_db: (frames,) loudness in decibels. Its quantiles on train define `LOUDNESS_BINS` bins,
            and the forecast is the mean of each bin.
        train: (frames,) bool, the frames on which means are fitted.
        test: (frames,) bool, the frames on which the forecast is compared with the mean of all
            train frames.
    """
    known, held_out = values[train], values[test]
    steps = np.quantile(rms_db[train], np.linspace(0, 1, LOUDNESS_BINS + 1)[1:-1])
    bins = np.searchsorted(steps, rms_db)
    counts = np.bincount(bins[train], minlength=LOUDNESS_BINS)
    sums = np.eye(LOUDNESS_BINS)[bins[train]].T @ known
    overall = known.mean(0, dtype=np.float64)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], overall)
    left = np.square(held_out - means[bins[test]]).sum()
    return float(1 - left / np.square(held_out - overall).sum())


def autocorrelation(sequences: Sequences, lag: int) -> float:
    """Correlate whitened coordinates with themselves `lag` frames later in the same clip.

    Args:
        sequences: the data, whitened.
        lag: distance in frames. Pairs with a gated frame are left out.

    Returns:
        The root mean square over coordinates, because in a plain mean those that alternate in sign
        would cancel others; 0 if no clip is long enough.
    """
    frames = sequences.frames.double().numpy()
    clip, heard = sequences.clip_of_frame, ~sequences.gated.numpy()
    both = (clip[lag:] == clip[:-lag]) & heard[lag:] & heard[:-lag]
    if not both.any():
        return 0.0
    now, later = frames[:-lag][both], frames[lag:][both]
    now, later = now - now.mean(0), later - later.mean(0)
    scale = np.sqrt(np.square(now).sum(0) * np.square(later).sum(0))
    correlations = (now * later).sum(0) / scale
    return float(np.sqrt(np.square(correlations).mean()))
