"""What latents are like before anything is predicted: how many, how slow, how much loudness."""

import numpy as np

from mimi_dynamics.latents.sequences import Sequences

COMPONENTS = (1, 2, 4, 8, 16, 32, 64, 128)  # of which the variance kept is told
LOUDNESS_BINS = 64


def effective_dimension(values: np.ndarray) -> float:
    """Participation ratio (Σλ)² / Σλ² of the variances of (frames, dim) along their components."""
    variances = _variances(values)
    return float(variances.sum() ** 2 / np.square(variances).sum())


def variance_kept_by_leading(values: np.ndarray) -> dict[int, float]:
    """Share of the variance of (frames, dim) in the leading components, by their number."""
    variances = _variances(values)
    shares = variances.cumsum() / variances.sum()
    return {count: float(shares[min(count, len(shares)) - 1]) for count in COMPONENTS}


def _variances(values: np.ndarray) -> np.ndarray:
    covariance = np.cov(values.astype(np.float64), rowvar=False)
    return np.linalg.eigvalsh(covariance)[::-1].clip(min=0)


def loudness_share(
    values: np.ndarray, rms_db: np.ndarray, train: np.ndarray, test: np.ndarray
) -> float:
    """R² of (frames, dim) values, on test, given how loud the frame is: any function of that.

    Args:
        values: what is to be explained, weighted as it varies.
        rms_db: (frames,) loudness; its train quantiles make `LOUDNESS_BINS` bins of one mean each.
        train: (frames,) bool, where means are fitted.
        test: (frames,) bool, where they are compared with the mean of all train frames.
    """
    steps = np.quantile(rms_db[train], np.linspace(0, 1, LOUDNESS_BINS + 1)[1:-1])
    bins = np.searchsorted(steps, rms_db)
    counts = np.bincount(bins[train], minlength=LOUDNESS_BINS)
    sums = np.eye(LOUDNESS_BINS)[bins[train]].T @ values[train]
    overall = values[train].mean(0, dtype=np.float64)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], overall)
    left = np.square(values[test] - means[bins[test]]).sum()
    return float(1 - left / np.square(values[test] - overall).sum())


def autocorrelation(sequences: Sequences, lag: int) -> float:
    """Correlation of whitened coordinates with themselves `lag` frames later in their clip.

    Root mean square over coordinates: some alternate in sign, and would cancel others. 0 where no
    clip is that long.
    """
    frames = sequences.frames.double().numpy()
    clip = sequences.clip_of_frame
    both = clip[lag:] == clip[:-lag]
    if not both.any():
        return 0.0
    now, later = frames[:-lag][both], frames[lag:][both]
    now, later = now - now.mean(0), later - later.mean(0)
    scale = np.sqrt(np.square(now).sum(0) * np.square(later).sum(0))
    correlations = (now * later).sum(0) / scale
    return float(np.sqrt(np.square(correlations).mean()))
