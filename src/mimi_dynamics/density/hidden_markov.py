"""The recursions of a hidden Markov chain, over many clips at once (Hamilton 1989; Kim 1994)."""

import torch
from torch import Tensor

LEAST_LIKELIHOOD = 1e-30  # relative to the likeliest regime; denormal numbers are slow


def scaled(log_prob: Tensor) -> tuple[Tensor, Tensor]:
    """Give (rows, regimes) likelihoods relative to the largest of each row, and its logarithm."""
    scale = log_prob.max(1).values
    return (log_prob - scale[:, None]).exp().clamp(min=LEAST_LIKELIHOOD), scale


def filtered(grid: Tensor, shares: Tensor, transition: Tensor) -> tuple[Tensor, Tensor]:
    """Run the forward pass of Hamilton's filter.

    Args:
        grid: (clips, time, regimes) likelihoods, which are 1 where there is no target.
        shares: (regimes,) probabilities before the first target.
        transition: (regimes, regimes).

    Returns:
        The (clips, time) likelihood of each target given those before it, and the (clips, time,
        regimes) probability of each regime given the targets so far.
    """
    known, totals, at = [], [], shares.expand(len(grid), -1)
    for likelihood in grid.unbind(1):
        joint = at @ transition * likelihood
        total = joint.sum(1)
        at = joint / total[:, None]
        known.append(at)
        totals.append(total)
    return torch.stack(totals, 1), torch.stack(known, 1)


def predicted(grid: Tensor, shares: Tensor, transition: Tensor, horizon: int) -> Tensor:
    """Tell which regime will be at work, from the targets that are known `horizon` frames before.

    Returns:
        The (clips, time, regimes) probability of each regime.
    """
    _, known = filtered(grid, shares, transition)
    ahead = known @ torch.linalg.matrix_power(transition, horizon)
    start = shares.expand(len(known), horizon, -1)
    return torch.cat([start, ahead], 1)[:, : known.shape[1]]


def smoothed(
    grid: Tensor, totals: Tensor, known: Tensor, transition: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the backward pass, given what `filtered` returns.

    Returns:
        The (clips, time, regimes) probability of each regime given all targets, and the transition
        probabilities that are likeliest given those, with one more transition of each kind.
    """
    after, shares, seen = torch.ones_like(known[:, 0]), [], torch.ones_like(transition)
    for time in range(grid.shape[1] - 1, 0, -1):
        shares.append(known[:, time] * after)
        weighted = grid[:, time] * after / totals[:, time, None]
        seen = seen + known[:, time - 1].T @ weighted * transition
        after = weighted @ transition.T
    shares.append(known[:, 0] * after)
    given_all = torch.stack(shares[::-1], 1)
    return given_all / given_all.sum(-1, keepdim=True), seen / seen.sum(1, keepdim=True)
