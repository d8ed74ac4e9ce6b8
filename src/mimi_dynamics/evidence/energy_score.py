"""The energy score of samples: computed over all pairs, and fair for any number of samples."""

import torch
from torch import Tensor


def energy_of_pair(first: Tensor, second: Tensor, target: Tensor) -> Tensor:
    """Give the energy score of two draws over the last dimension, differentiable as a loss.

    See `energy_score` for the score of any number of draws.

    Args:
        first: (..., dim) first draw.
        second: (..., dim) second draw.
        target: (..., dim) what was observed.
    """
    error = (distance(first, target) + distance(second, target)) / 2
    return error - distance(first, second) / 2


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Give the Euclidean distance over the last dimension, made smooth at zero."""
    return ((first - second).square().sum(-1) + 1e-6).sqrt()


PAIRS_AT_ONCE = 2**22  # distances to hold in memory at once, which take 32 MB


def energy_score(samples: Tensor, target: Tensor) -> Tensor:
    """Give the (n,) fair energy scores in float64; lower is better.

    The score has the unit of the norm of a frame. It is mean_i |X_i − y| − ½ mean_{i≠j} |X_i − X_j|
    (Gneiting & Raftery 2007, section 4.3). The mean over pairs leaves out i = j, so that the
    expectation does not depend on the number of samples (Ferro 2014 in one dimension): scores of 8
    and of 64 samples can be compared.

    Args:
        samples: (m, n, dim) independent draws of each forecast, with m at least 2.
        target: (n, dim) the frames that were observed.

    Raises:
        ValueError: if there is only one sample, which says nothing about the spread.
    """
    draws = len(samples)
    if draws < 2:
        raise ValueError(f"samples = {draws}: must be at least 2")
    chunk = max(1, PAIRS_AT_ONCE // draws**2)
    pieces = zip(samples.split(chunk, 1), target.split(chunk), strict=True)
    return torch.cat([_energy_score(s.double(), y.double()) for s, y in pieces])


def _energy_score(samples: Tensor, target: Tensor) -> Tensor:
    draws = len(samples)
    error = (samples - target).norm(dim=-1).mean(0)
    clouds = samples.transpose(0, 1).contiguous()
    # By default, cdist computes distances of many points by matrix products, in which the
    # distances of samples close to each other would lose all digits.
    pairs = torch.cdist(clouds, clouds, compute_mode="donot_use_mm_for_euclid_dist")
    return error - pairs.sum((1, 2)) / (2 * draws * (draws - 1))
