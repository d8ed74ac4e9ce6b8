"""Each coordinate by itself: a mixture of two regressions on a few earlier coordinates.

Where coordinates flip by themselves, no regime is that of the whole frame, and no coordinate of the
past tells when. A flow learns this from 64,000 frames of 32 dimensions to 93 %, and no better when
it is trained for longer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mimi_dynamics.density.screening import RECENT, latest, standardised
from mimi_dynamics.latents.sequences import Batch

CHOICES = (0, 1, 4)  # numbers of earlier coordinates to try; validation chooses
SHARE_OF_START = 4  # two starts are compared on every fourth frame
ROUNDS_OF_START = 15
ROUNDS = 8
PRIOR_FRAMES = 8  # as if so many more had been seen, with the usual variance and no past
DIM_OF_ALL = 64  # wider latents are fitted to fewer frames, which take as much memory


@dataclass(frozen=True)
class MixtureVar:
    """A mixture autoregression of each coordinate (Wong & Li 2000, eq. 1), independent of others.

    Attributes:
        chosen: (dim, regressors) indices among the coordinates of the latest frames, newest first.
        weights: (dim, 2, regressors + 1), the last for a constant 1.
        log_scales: (dim, 2) of the noise.
        log_shares: (dim, 2) how often either is at work.
    """

    chosen: Tensor
    weights: Tensor
    log_scales: Tensor
    log_shares: Tensor

    def log_prob(self, batch: Batch) -> Tensor:
        """Give the (scored,) log density of each scored target, in nats."""
        inputs, targets = _rows([batch], self.chosen)
        return self.joint(inputs, targets).logsumexp(1).sum(0)

    def joint(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Give the (dim, 2, rows) log densities of targets and which regression is at work."""
        mean = self.weights @ inputs.transpose(1, 2)
        noise = (targets[:, None] - mean) / self.log_scales.exp()[..., None]
        constant = self.log_shares - self.log_scales - 0.5 * math.log(2 * math.pi)
        return constant[..., None] - 0.5 * noise.square()


def fit_mixture_var(train: Sequence[Batch], validation: Sequence[Batch], known: int) -> MixtureVar:
    """Fit by expectation maximisation, with as many regressors of each coordinate as help it.

    Args:
        train: batches to fit on.
        validation: batches that choose the number of regressors.
        known: number of frames that are known before the first target of a clip; with 0 this is a
            density without the past.
    """
    dim = train[0].target.shape[-1]
    some = train[:: math.ceil(dim / DIM_OF_ALL)]
    ranked = _strongest(some, min(RECENT, known) * dim)
    held_out, best, reached = None, None, torch.full((dim,), -math.inf)
    for count in [count for count in CHOICES if count <= ranked.shape[1]]:
        fitted = _fit(*_rows(some, ranked[:, :count]), ranked[:, :count])
        held_out = _rows(validation, ranked[:, :count])
        found = fitted.joint(*held_out).logsumexp(1).double().mean(1)
        padded = _padded(fitted, ranked)
        best = padded if best is None else _merged(best, padded, found > reached)
        reached = torch.maximum(reached, found.float())
    assert best is not None
    return best


def _strongest(batches: Sequence[Batch], columns: int) -> Tensor:
    """Rank earlier coordinates by their correlation with each coordinate, signs aside, (dim, n)."""
    if not columns:
        return torch.zeros(batches[0].target.shape[-1], 0, dtype=torch.int64)
    target = torch.cat([batch.target[batch.scored] for batch in batches])
    past = torch.cat([latest(batch)[:, :columns] for batch in batches])
    strength = torch.zeros(target.shape[1], past.shape[1])
    for of in (torch.clone, torch.square):
        products = standardised(of(target)).T @ standardised(of(past)) / len(target)
        strength = torch.maximum(strength, products.abs())
    return strength.topk(min(max(CHOICES), strength.shape[1]), 1).indices


def _rows(batches: Sequence[Batch], chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Give (dim, rows, regressors + 1) inputs and (dim, rows) targets."""
    targets = torch.cat([batch.target[batch.scored] for batch in batches]).T
    if not chosen.shape[1]:
        return torch.ones(*targets.shape, 1), targets
    past = torch.cat([latest(batch) for batch in batches])
    inputs = past[:, chosen].transpose(0, 1)
    return functional.pad(inputs, (0, 1), value=1.0), targets


def _fit(inputs: Tensor, targets: Tensor, chosen: Tensor) -> MixtureVar:
    """Fit from the likelier of two starts: by whether signs agree, and by how large targets are."""
    part = inputs[:, ::SHARE_OF_START].contiguous(), targets[:, ::SHARE_OF_START].contiguous()
    agrees, size = part[1] * part[0][..., 0] > 0, part[1].abs()
    tried = []
    for start in (agrees, size > size.median(1, keepdim=True).values):
        share = 0.1 + 0.8 * start.float()  # Neither regression begins without any of the frames.
        fitted = _maximised(*part, torch.stack([share, 1 - share], 1), chosen)
        fitted = _rounds(fitted, *part, ROUNDS_OF_START)
        tried.append((fitted, fitted.joint(*part).logsumexp(1).mean(1)))
    (first, reached), (second, other) = tried
    return _rounds(_merged(first, second, other > reached), inputs, targets, ROUNDS)


def _rounds(fitted: MixtureVar, inputs: Tensor, targets: Tensor, count: int) -> MixtureVar:
    for _ in range(count):
        shares = fitted.joint(inputs, targets).softmax(1)
        fitted = _maximised(inputs, targets, shares, fitted.chosen)
    return fitted


def _maximised(inputs: Tensor, targets: Tensor, shares: Tensor, chosen: Tensor) -> MixtureVar:
    """Fit both regressions to the (dim, 2, rows) shares of frames at which they are at work."""
    dim, count, columns = inputs.shape
    usual = targets.var(1, correction=0).double()
    prior = PRIOR_FRAMES * torch.eye(columns, dtype=torch.float64)
    weights, log_scales = torch.zeros(dim, 2, columns), torch.zeros(dim, 2)
    for which in range(2):
        scaled = inputs * shares[:, which, :, None]
        gram = (scaled.transpose(1, 2) @ inputs).double() + prior
        cross = (scaled.transpose(1, 2) @ targets[..., None]).double()
        found = torch.linalg.solve(gram, cross).squeeze(2)
        residual = targets - (inputs @ found.float()[..., None]).squeeze(2)
        errors = (shares[:, which] * residual.square()).sum(1).double() + PRIOR_FRAMES * usual
        frames = shares[:, which].sum(1).double() + PRIOR_FRAMES
        weights[:, which], log_scales[:, which] = found.float(), (0.5 * (errors / frames).log())
    often = (shares.sum(2).double() + 1) / (count + 2)
    return MixtureVar(chosen, weights, log_scales, often.log().float())


def _padded(fitted: MixtureVar, ranked: Tensor) -> MixtureVar:
    """Give the same density with all ranked regressors, of which the further ones count nothing."""
    slopes, constant = fitted.weights[..., :-1], fitted.weights[..., -1:]
    slopes = functional.pad(slopes, (0, ranked.shape[1] - slopes.shape[2]))
    weights = torch.cat([slopes, constant], 2)
    return MixtureVar(ranked, weights, fitted.log_scales, fitted.log_shares)


def _merged(one: MixtureVar, other: MixtureVar, of_other: Tensor) -> MixtureVar:
    """Take some coordinates, as (dim,) bool says, from the other density."""
    return MixtureVar(
        one.chosen,
        torch.where(of_other[:, None, None], other.weights, one.weights),
        torch.where(of_other[:, None], other.log_scales, one.log_scales),
        torch.where(of_other[:, None], other.log_shares, one.log_shares),
    )
