"""Which earlier frames and coordinates a target depends on, even where its sign hides it."""

import math
from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from mimi_dynamics.density.halves import Centred
from mimi_dynamics.density.regression import complete, regressors
from mimi_dynamics.latents.sequences import Batch, BatchSource

Batches = list[Batch] | BatchSource | Centred

MOST_FRAMES = 2**16  # so few numbers need no more, and more would not fit into memory
PROJECTIONS = 128  # random directions whose squares are correlated
RECENT = 8  # frames among which setters are looked for, where these have few coordinates
MOST_SETTERS = 256


def evenly_chosen(batches: Batches) -> list[Batch]:
    """Take every n-th batch, so that there are about `MOST_FRAMES` at most, padding included."""
    padded = len(batches) * next(iter(batches)).scored.numel()
    return list(islice(batches, 0, None, math.ceil(padded / MOST_FRAMES)))


def strongest_lags(
    batches: Sequence[Batch], order: int, generator: torch.Generator, most: int
) -> tuple[int, ...]:
    """Choose the lags at which squares of random projections are most correlated with the target's.

    Whatever the sign of a frame, its squares say how it depends on earlier frames.

    Args:
        batches: the frames to fit on.
        order: how many frames may be looked back.
        generator: draws the projections.
        most: how many lags to choose at most.

    Returns:
        The lags in ascending order, where 0 is the newest frame.
    """
    dim = batches[0].target.shape[-1]
    directions = torch.randn(dim, PROJECTIONS, generator=generator)
    squares = [(batch.target[batch.scored] @ directions).square() for batch in batches]
    mean, spread = (of(torch.cat(squares), 0) for of in (torch.mean, torch.std))
    correlation = torch.zeros(order, PROJECTIONS, PROJECTIONS)
    rows = torch.zeros(order)
    for batch in batches:
        past = ((batch.context @ directions).square() - mean) / spread
        for lag in range(order):
            late = complete(batch, lag)
            clip, time = late.scored.nonzero().T
            target = ((batch.target[late.scored] @ directions).square() - mean) / spread
            correlation[lag] += target.T @ past[clip, time - lag]
            rows[lag] += len(target)
    strength = correlation.square().mean((1, 2)) / rows.square().clamp(min=1)
    return tuple(sorted(strength.topk(min(most, order)).indices.tolist()))


def latest(batch: Batch) -> Tensor:
    """Give the (scored, frames * dim) latest frames before each target, newest first."""
    frames = min(RECENT, max(1, MOST_SETTERS // batch.context.shape[-1]))
    return regressors(batch, range(frames))[:, :-1]


def find_setters(batches: Sequence[Batch], lags: Sequence[int]) -> Tensor:
    """Find for each coordinate of the target the earlier coordinate that most changes its density.

    Setters are compared by the share of variance, of the coordinate or of its square, that they
    explain, less what chance explains. The sign of the setter may turn round how the coordinate
    depends on a frame at one of `lags`; and the sign of the setter, or whether it lies in its outer
    quarters, may change the scale of the coordinate.

    Args:
        batches: some of the frames to fit on.
        lags: at which the target may depend on the past.

    Returns:
        (dim,) indices among the coordinates of the latest frames, newest first.
    """
    target = torch.cat([batch.target[batch.scored] for batch in batches])
    past = torch.cat([latest(batch) for batch in batches])
    inputs = torch.cat([regressors(batch, lags)[:, :-1] for batch in batches])
    target, inputs = standardised(target), standardised(inputs)
    above = torch.sign(past - past.median(0).values)
    outer = torch.sign(past.abs() - past.abs().median(0).values)
    squares = standardised(target.square())
    count, dim = target.shape
    of_scale = torch.maximum(*((squares.T @ of / count).square() for of in (above, outer)))
    explained = of_scale - 1 / count
    for setter in range(past.shape[1]):
        turned = (target * above[:, setter, None]).T @ inputs / count
        by_lag = turned.view(dim, len(lags), dim).square().sum(2) - dim / count
        explained[:, setter] = torch.maximum(explained[:, setter], by_lag.max(1).values)
    return explained.argmax(1)


def standardised(values: Tensor) -> Tensor:
    """Give (rows, columns) values with mean 0 and variance 1 in every column."""
    return (values - values.mean(0)) / values.std(0).clamp(min=1e-6)
