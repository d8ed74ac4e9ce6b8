"""Motifs of known worth, planted into frames: what a memory must find before its silence counts.

After an n-gram of keys the next frame is shifted by a vector of that n-gram's own. All shifts lie
in one plane. A shift N(0, τ²) in each of the d = 2 directions, in which the frames themselves vary
by N(0, 1), is worth d/2 ln(1 + τ²) nats to a predictor that knows it. After n sightings it is
known up to τ²/(1 + nτ²), so that at most

    d/2 [ln(1 + τ²) − ln(1 + τ²/(1 + nτ²))]

can be learned: the difference of entropies of the next frame before and after them (the posterior
of a normal mean, e.g. Bishop 2006, section 2.3.3). Noise with heavier tails tells a shift better.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from mimi_dynamics.latents.sequences import Batch, Sequences
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.engram.keys import Keys, in_split, suffix_ngrams
from mimi_dynamics.studies.engram.memory import ORDERS

PLANE = 2  # number of directions of all shifts
LEAST_SIGHTINGS = 20  # in train, of an n-gram with a shift
MOST_SD = 3.0  # of a shift, in standard deviations of the frames' own noise; more is no motif


@dataclass(frozen=True)
class Planted:
    """Frames with motifs, and the keys that their n-grams are of.

    Attributes:
        data: the clips with shifted frames.
        keys: their keys, from the same map as before.
        sd: τ, the standard deviation of a shift in units of the frames' own noise.
        order: number of keys in an n-gram.
        learnable_nats_per_frame: how much of them can be learned, by the sightings in train.
        motif_share: share of the targets of train that a motif has shifted.
    """

    data: Sequences
    keys: Keys
    sd: float
    order: int
    learnable_nats_per_frame: float
    motif_share: float


def plant(
    data: Sequences,
    keys: Keys,
    noise: Tensor,
    learnable: float,
    first: int,
    seed: int,
    order: int = max(ORDERS),
) -> Planted:
    """Shift every frame that follows an n-gram which train has at least `LEAST_SIGHTINGS` times.

    Frames are gone through in time, since a shifted frame may have another key. Gated frames, which
    are no targets, are not shifted.

    Args:
        data: the clips.
        keys: the keys of all frames.
        noise: (dim, dim) covariance of what the past does not tell of the next frame.
        learnable: nats per frame of train that can be learned; 0 plants nothing.
        first: index in its clip of the first frame that may be a target.
        seed: seed of the plane and of all shifts.
        order: number of keys in an n-gram.

    Raises:
        InputError: no n-gram occurs often enough to carry as much.
    """
    random = np.random.default_rng(seed)
    target = targets(data, first)
    grams, counts = np.unique(before(keys, data.lengths, order)[target], return_counts=True)
    frequent = counts >= LEAST_SIGHTINGS
    grams, sd = grams[frequent], shift_sd(counts[frequent], counts.sum(), learnable)
    turned = np.linalg.qr(random.standard_normal((data.dim, PLANE)))[0]
    plane = np.linalg.cholesky(noise.double().numpy()) @ turned
    shifts = sd * random.standard_normal((len(grams), PLANE)) @ plane.T
    frames, found = shifted(data, keys, grams, shifts, order)
    after = before(found, data.lengths, order)[target]
    sightings = np.array([np.sum(after == gram) for gram in grams])
    return Planted(
        replace(data, frames=torch.from_numpy(frames)),
        found,
        sd,
        order,
        float(sightings @ learnable_nats(sd, sightings) / len(after)),
        float(sightings.sum() / len(after)),
    )


def fisher_noise(model: nn.Module, batches: list[Batch]) -> Tensor:
    """Give the covariance of the Gaussian noise that would hide small shifts as a density does.

    It is the inverse of the Fisher information of the target's place, E[∇ log p ∇ log pᵀ]. Of a
    Gaussian density it is the covariance. Sharp peaks and heavy tails tell a shift better than
    their covariance does, and so do scales that the past predicts: by the residuals of a VAR,
    motifs called worth 0.35 nats cost a predictor 0.86.

    Args:
        model: a trained density, which maps a batch to the (scored,) negative log densities.
        batches: batches that it has not been trained on.

    Returns:
        (dim, dim) covariance.
    """
    model.eval()
    slopes = []
    for batch in batches:
        place = batch.target.clone().requires_grad_()
        loss = model(batch._replace(target=place)).sum()
        slopes.append(torch.autograd.grad(loss, place)[0][batch.scored].double())
    slope = torch.cat(slopes)
    return torch.linalg.inv(slope.T @ slope / len(slope))


def learnable_nats(sd: float, sightings: np.ndarray) -> np.ndarray:
    """Give the nats a frame that can be learned of a shift, by how often it was seen.

    Args:
        sd: τ, the standard deviation of a shift in units of the frames' own noise.
        sightings: number of frames of train that follow the n-gram.
    """
    variance = sd**2
    left = variance / (1 + sightings * variance)
    return PLANE / 2 * (np.log1p(variance) - np.log1p(left))


def shift_sd(sightings: np.ndarray, targets_of_train: int, learnable: float) -> float:
    """Find τ such that so much can be learned in the mean over all targets of train.

    Args:
        sightings: of each n-gram with a shift.
        targets_of_train: number of targets, those after other n-grams included.
        learnable: nats per frame.

    Raises:
        InputError: it cannot be so much.
    """

    def missing(sd: float) -> float:
        return sightings @ learnable_nats(sd, sightings) / targets_of_train - learnable

    if learnable > 0 and (not len(sightings) or missing(MOST_SD) < 0):
        raise InputError(
            f"engram: motifs cannot be worth {learnable:g} nats a frame; too few n-grams occur "
            f"{LEAST_SIGHTINGS} times in train, fewer cells make more of them"
        )
    return float(brentq(missing, 0.0, MOST_SD)) if learnable > 0 else 0.0


def before(keys: Keys, lengths: np.ndarray, order: int) -> np.ndarray:
    """Give the (frames,) n-grams that end at the frame before each; −1 at the start of a clip."""
    grams = suffix_ngrams(keys.values, lengths, keys.count, order)
    grams = np.concatenate([np.full(NEXT_FRAME, -1), grams[:-NEXT_FRAME]])
    within = np.arange(len(grams)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.where(within >= NEXT_FRAME, grams, -1)


def targets(data: Sequences, first: int) -> np.ndarray:
    """Tell which frames are targets of train, as (frames,) bool."""
    return in_split(data, "train") & ~data.gated.numpy() & (data.index_in_clip >= first)


def shifted(
    data: Sequences, keys: Keys, grams: np.ndarray, shifts: np.ndarray, order: int
) -> tuple[np.ndarray, Keys]:
    """Shift frames in the order of time, each by the n-gram of the keys before it.

    Args:
        data: the clips.
        keys: the keys of all frames; where they have a map, those of shifted frames are made anew.
        grams: (motifs,) the n-grams with a shift, sorted.
        shifts: (motifs, dim) their shifts.
        order: number of keys in an n-gram.

    Returns:
        (frames, dim) frames, and their keys.
    """
    frames, values = data.frames.numpy().copy(), keys.values.copy()
    index, free = data.index_in_clip, ~data.gated.numpy()
    places = np.split(index.argsort(kind="stable"), np.cumsum(np.bincount(index))[:-1])
    for at in places[order:] if len(grams) else []:
        gram = np.zeros(len(at), np.int64)
        for back in range(1, order + 1):
            gram = gram * (keys.count + 1) + values[at - back]
        motif = np.searchsorted(grams, gram).clip(max=len(grams) - 1)
        moved = (grams[motif] == gram) & free[at]
        if moved.any():
            frames[at[moved]] += shifts[motif[moved]].astype(frames.dtype)
            if keys.assign is not None:
                values[at[moved]] = keys.assign(frames[at[moved]])
    return frames, replace(keys, values=values)
