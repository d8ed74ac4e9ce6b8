"""Surrogates: data without dynamics, passed through exactly the same code as the real data.

The idea is that of Theiler et al. 1992 ("Testing for nonlinearity in time series"): a gain that a
surrogate also shows is no evidence for the structure that the surrogate has lost.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.var import Var, fit_var
from mimi_dynamics.latents.lengths import bucket_by_length
from mimi_dynamics.latents.sequences import Sequences, in_memory

LOUDNESS_BINS = 64
# Frames dropped before a simulated clip: 5 s, more than ten times the memory of the process.
LINEAR_BURN_IN = 64


def shuffle(sequences: Sequences, generator: torch.Generator, first: int) -> Sequences:
    """Permute frames within each clip: keeps speaker, channel and loudness, loses time order.

    Args:
        sequences: the data.
        generator: draws the permutation.
        first: index within a clip of the first frame that may be a target. Frames before it are
            permuted among themselves, so that exactly the same frames are scored as in the data.
    """
    return _permute_within(sequences, sequences.clip_of_frame, first, generator)


def permute(sequences: Sequences, generator: torch.Generator, first: int) -> Sequences:
    """Permute frames across the whole corpus, within each split; what is left must show no gain.

    See `shuffle` for the arguments.
    """
    return _permute_within(sequences, np.zeros(len(sequences.frames)), first, generator)


def keep_loudness(
    sequences: Sequences, rms_db: np.ndarray, generator: torch.Generator, first: int
) -> Sequences:
    """Permute frames among those of the same split and of about the same loudness.

    The course of loudness over time stays, everything else is lost: this row measures how much
    speech and silence alone tell.

    Args:
        sequences: the data.
        rms_db: (frames,) loudness in decibels, which is divided into `LOUDNESS_BINS` steps, each
            with as many of the frames that are not gated.
        generator: draws the permutation.
        first: see `shuffle`.
    """
    heard = rms_db[~sequences.gated.numpy()]
    steps = np.quantile(heard, np.linspace(0, 1, LOUDNESS_BINS + 1)[1:-1])
    return _permute_within(sequences, np.searchsorted(steps, rms_db), first, generator)


def _permute_within(
    sequences: Sequences, group: np.ndarray, first: int, generator: torch.Generator
) -> Sequences:
    """Permute the frames of each split that are in the same group; gated frames stay in place.

    Those that may be targets are permuted among themselves, and the others too.
    """
    noise = torch.rand(len(sequences.frames), generator=generator, dtype=torch.float64).numpy()
    split = np.unique(sequences.splits, return_inverse=True)[1][sequences.clip_of_frame]
    gated = sequences.gated.numpy()
    own = np.where(gated, np.arange(len(noise)), -1)  # Each gated frame is a group of its own.
    order = np.empty(len(noise), dtype=np.int64)
    early = sequences.index_in_clip < first
    places = own, early, group, split
    order[np.lexsort(places)] = np.lexsort((noise, *places))
    taken = torch.from_numpy(order)
    return replace(sequences, frames=sequences.frames[taken], voiced=sequences.voiced[taken])


def linear_process(sequences: Sequences, order: int) -> Var:
    """Fit a VAR on train, and make it stable.

    Args:
        sequences: the data.
        order: order of the VAR, in frames.
    """
    train, validation = (
        sequences.batches(split, 1, order, 8192, delta=False) for split in ("train", "validation")
    )
    return _stable(fit_var(train, in_memory(validation), order))


def simulate_linear(
    sequences: Sequences, generator: torch.Generator, process: Var, at_once: int
) -> Sequences:
    """Replace each clip by one of the same length, simulated from a VAR that was fitted on train.

    This keeps the linear dynamics and loses everything else: real gain beyond it is non-linear
    structure. `voiced` is not changed and means nothing here.

    Args:
        sequences: the data.
        generator: draws the noise.
        process: the VAR, see `linear_process`.
        at_once: number of frames to simulate together, padded, in clips of similar length; 0 means
            all clips at once.
    """
    if not at_once:
        return replace(sequences, frames=_simulate(process, sequences.lengths, generator))
    frames, clip = torch.empty_like(sequences.frames), sequences.clip_of_frame
    for clips in bucket_by_length(sequences.lengths, sequences.lengths > 0, at_once):
        clips.sort()  # simulated frames must come in the same order as the frames of the data
        frames[np.isin(clip, clips)] = _simulate(process, sequences.lengths[clips], generator)
    return replace(sequences, frames=frames)


def _stable(var: Var) -> Var:
    """Shrink a VAR whose companion matrix has an eigenvalue on or outside the unit circle."""
    order, dim, _ = var.coefficients.shape
    companion = torch.zeros(order * dim, order * dim)
    companion[:dim] = var.coefficients.permute(1, 0, 2).reshape(dim, order * dim)
    companion[dim:, :-dim] = torch.eye((order - 1) * dim)
    radius = torch.linalg.eigvals(companion).abs().max().item()
    shrink = min(1.0, 0.995 / radius) ** torch.arange(1, order + 1)
    return replace(var, coefficients=var.coefficients * shrink[:, None, None])


def _simulate(var: Var, lengths: np.ndarray, generator: torch.Generator) -> Tensor:
    """Simulate all clips at once, step by step.

    Returns:
        (frames, dim) the first `length` steps of each clip, one clip after the other.
    """
    order, dim, _ = var.coefficients.shape
    steps, clips = int(lengths.max()) + LINEAR_BURN_IN, len(lengths)
    root = torch.linalg.cholesky(var.covariance)
    path = torch.zeros(steps + order, clips, dim)
    for step in range(order, steps + order):
        past = path[step - order : step].flip(0)
        mean = var.intercept + torch.einsum("oij,ocj->ci", var.coefficients, past)
        path[step] = mean + torch.randn(clips, dim, generator=generator) @ root.T
    path = path[order + LINEAR_BURN_IN :].transpose(0, 1)
    kept = torch.arange(path.shape[1])[None] < torch.from_numpy(lengths)[:, None]
    return path[kept]


def linear(sequences: Sequences, generator: torch.Generator, _first: int, order: int) -> Sequences:
    """Simulate every clip from a VAR of that order, fitted on train; see `simulate_linear`."""
    process = linear_process(sequences, order)
    simulate = partial(simulate_linear, process=process, at_once=sequences.at_once)
    return sequences.changed(simulate, generator)


def shuffled(sequences: Sequences, generator: torch.Generator, first: int, *_: int) -> Sequences:
    """Shuffle frames within each clip, including streamed clips; see `shuffle`."""
    return sequences.changed(partial(shuffle, first=first), generator)


def permuted(sequences: Sequences, generator: torch.Generator, first: int, *_: int) -> Sequences:
    """Permute frames over the corpus, including streamed clips; see `permute`."""
    return sequences.changed(partial(permute, first=first), generator)


# A surrogate is a function of the data, a generator, the index of the first target of a clip, and
# the order of the VAR behind `linear`. All draw from the same generator in this order, so add a new
# one at the end: the others then keep their random numbers.
SURROGATES: dict[str, Callable[[Sequences, torch.Generator, int, int], Sequences]] = {
    "shuffled": shuffled,
    "permuted": permuted,
    "linear": linear,
}
REORDERINGS = ("shuffled", "permuted")  # these only change the order of the frames


def reorderings(real: Sequences, first: int, seed: int) -> dict[str, Sequences]:
    """Make the surrogates that only change the order of the frames of `real`, by name.

    See `make_surrogates` for the arguments.
    """
    generator = torch.Generator().manual_seed(seed)
    return {name: SURROGATES[name](real, generator, first, 0) for name in REORDERINGS}


def make_surrogates(
    real: Sequences, first: int, linear_order: int, seed: int
) -> dict[str, Sequences]:
    """Make every surrogate of `real`, by name.

    Args:
        real: the data.
        first: index within a clip of the first frame that may be a target, see `shuffle`.
        linear_order: order of the VAR behind `linear`, in frames.
        seed: seed of the permutations and the simulation.
    """
    generator = torch.Generator().manual_seed(seed)
    return {name: make(real, generator, first, linear_order) for name, make in SURROGATES.items()}
