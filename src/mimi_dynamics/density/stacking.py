"""Stacking: the mixture of fitted densities whose weights are best on validation.

Where the past tells nothing, the weights of the densities that use it fall, and the gain shrinks to
zero without a hard switch (Smyth & Wolpert 1999, "Linearly combining density estimators via
stacking").
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import logsumexp

from mimi_dynamics.density.fit import FittedDensity

MOST_ROUNDS = 1000
# The rounds end when the mean log-likelihood rises by less than this, in nats per frame. The
# likelihood is concave in the weights, so there is one best choice.
TOLERANCE = 1e-7


def stack(experts: Mapping[str, FittedDensity]) -> FittedDensity:
    """Mix densities of the same targets, with the weights that are best on validation.

    Where some clips of validation chose lags, the others weigh; see `density.halves`.

    Args:
        experts: the densities by name.

    Returns:
        The mixture, with the weights of its densities, which sum to 1.
    """
    weighs = next(iter(experts.values())).weighs
    log_prob = -np.stack([expert.nll["validation"] for expert in experts.values()], 1)
    kept = slice(None) if weighs is None else weighs
    log_weights = np.log(fit_weights(log_prob[kept].astype(np.float64)))
    nll = {
        split: -logsumexp(
            log_weights - np.stack([expert.nll[split] for expert in experts.values()], 1), axis=1
        )
        for split in next(iter(experts.values())).nll
    }
    weights = dict(zip(experts, np.exp(log_weights).tolist(), strict=True))
    return FittedDensity(None, nll, weights, weighs)


def fit_weights(log_prob: np.ndarray) -> np.ndarray:
    """Find the weights of a mixture of fixed densities by expectation maximisation.

    Rounds multiply likelihoods, those of each frame as shares of its largest, because logarithms
    in every round took 40 times as long.

    Args:
        log_prob: (frames, densities) log-likelihoods in nats.

    Returns:
        (densities,) weights that sum to 1, none of which is exactly 0.
    """
    largest = log_prob.max(1, keepdims=True)
    likelihood = np.exp(log_prob - largest)
    weights = np.full(log_prob.shape[1], 1 / log_prob.shape[1])
    before = -np.inf
    for _ in range(MOST_ROUNDS):
        mixed = likelihood @ weights
        weights = weights * (likelihood.T @ (1 / mixed)) / len(log_prob)
        reached = float(np.log(mixed).mean() + largest.mean())
        if reached - before < TOLERANCE:
            break
        before = reached
    return np.maximum(weights, np.finfo(np.float64).tiny)
