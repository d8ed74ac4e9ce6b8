"""Data without dynamics, to be passed through the identical code as the real data.

Theiler et al. 1992 ("Testing for nonlinearity in time series") describe the idea: whatever gain a
surrogate shows is not evidence for the structure that the surrogate has lost.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.var import Var, fit_var
from mimi_dynamics.latents.sequences import Sequences, bucket_by_length

LOUDNESS_BINS = 64
LINEAR_BURN_IN = 64  # frames thrown away before a simulated clip: 5 s, over ten times its memory


def shuffle(sequences: Sequences, generator: torch.Generator) -> Sequences:
    """Permute frames within each clip: keeps speaker, channel and loudness, loses time."""
    noise = torch.rand(len(sequences.frames), generator=generator, dtype=torch.float64)
    clip = torch.from_numpy(sequences.clip_of_frame)
    return _reorder(sequences, torch.argsort(clip + noise))


def permute(sequences: Sequences, generator: torch.Generator) -> Sequences:
    """Permute frames across the whole corpus, within each split: what is left must gain nothing."""
    return _permute_within(sequences, np.zeros(len(sequences.frames)), generator)


def keep_loudness(
    sequences: Sequences, rms_db: np.ndarray, generator: torch.Generator
) -> Sequences:
    """Permute frames among those of the same split that are as loud, one of `LOUDNESS_BINS` steps.

    The course of loudness stays, all else is lost: what this row gains, speech and silence tell.

    Args:
        sequences: the data.
        rms_db: (frames,) loudness.
        generator: of the permutation.
    """
    steps = np.quantile(rms_db, np.linspace(0, 1, LOUDNESS_BINS + 1)[1:-1])
    return _permute_within(sequences, np.searchsorted(steps, rms_db), generator)


def _permute_within(
    sequences: Sequences, group: np.ndarray, generator: torch.Generator
) -> Sequences:
    """Permute the frames of each split that are of the same group."""
    noise = torch.rand(len(sequences.frames), generator=generator, dtype=torch.float64).numpy()
    split = np.unique(sequences.splits, return_inverse=True)[1][sequences.clip_of_frame]
    order = np.empty(len(noise), dtype=np.int64)
    order[np.lexsort((group, split))] = np.lexsort((noise, group, split))
    return _reorder(sequences, torch.from_numpy(order))


def _reorder(sequences: Sequences, order: Tensor) -> Sequences:
    return replace(sequences, frames=sequences.frames[order], voiced=sequences.voiced[order])


def linear_process(sequences: Sequences, order: int) -> Var:
    """The VAR of train, made stable."""
    fitted = [
        sequences.batches(split, 1, order, 8192, delta=False) for split in ("train", "validation")
    ]
    return _stable(fit_var(*fitted, order))


def simulate_linear(
    sequences: Sequences, generator: torch.Generator, process: Var, at_once: int
) -> Sequences:
    """Replace each clip by one of the same length simulated from a VAR fitted on train.

    Keeps the linear dynamics, loses everything else; real gain beyond it is non-linear structure.
    `voiced` stays as it was, and means nothing here.

    Args:
        sequences: the data.
        generator: of the noise.
        process: see `linear_process`.
        at_once: frames of clips of like length to simulate together, padded; 0 for all clips.
    """
    if not at_once:
        return replace(sequences, frames=_simulate(process, sequences.lengths, generator))
    frames, clip = torch.empty_like(sequences.frames), sequences.clip_of_frame
    for clips in bucket_by_length(sequences.lengths, 0, at_once):
        clips.sort()  # in the order of their frames
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
    """(frames, dim) all clips at once, step by step; each clip keeps its first `length` steps."""
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


def linear(sequences: Sequences, generator: torch.Generator, order: int) -> Sequences:
    """Simulate every clip from a VAR of that order, fitted on train; see `simulate_linear`."""
    process = linear_process(sequences, order)
    simulate = partial(simulate_linear, process=process, at_once=sequences.at_once)
    return sequences.changed(simulate, generator)


def shuffled(sequences: Sequences, generator: torch.Generator, *_: int) -> Sequences:
    """Shuffle frames within each clip, of streamed clips too; see `shuffle`."""
    return sequences.changed(shuffle, generator)


def permuted(sequences: Sequences, generator: torch.Generator, *_: int) -> Sequences:
    """Permute frames over the corpus, of streamed clips too; see `permute`."""
    return sequences.changed(permute, generator)


# A surrogate is a function of the data, of a generator and of the order of the VAR behind `linear`.
# All draw from the generator in this order: a new one belongs at the end.
SURROGATES: dict[str, Callable[[Sequences, torch.Generator, int], Sequences]] = {
    "shuffled": shuffled,
    "permuted": permuted,
    "linear": linear,
}
REORDERINGS = ("shuffled", "permuted")  # frames of the data in another order


def reorderings(real: Sequences, generator: torch.Generator) -> dict[str, Sequences]:
    """The surrogates that are frames of `real` in another order, by name."""
    return {name: SURROGATES[name](real, generator, 0) for name in REORDERINGS}


def make_surrogates(real: Sequences, linear_order: int, seed: int) -> dict[str, Sequences]:
    """Every surrogate of `real` by name.

    Args:
        real: the data.
        linear_order: frames of memory of the VAR behind `linear`.
        seed: of the permutations and the simulation.
    """
    generator = torch.Generator().manual_seed(seed)
    return {name: make(real, generator, linear_order) for name, make in SURROGATES.items()}
