"""Data without dynamics, to be passed through the identical code as the real data.

Theiler et al. 1992 ("Testing for nonlinearity in time series") describe the idea: whatever gain a
surrogate shows is not evidence for the structure that the surrogate has lost.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.sequences import Sequences, make_batches
from mimi_dynamics.var import Var, fit_var

LINEAR_BURN_IN = 64  # frames thrown away before a simulated clip: 5 s, over ten times its memory


def shuffle(sequences: Sequences, generator: torch.Generator) -> Sequences:
    """Permute frames within each clip: keeps speaker, channel and loudness, loses time."""
    noise = torch.rand(len(sequences.frames), generator=generator, dtype=torch.float64)
    clip = torch.from_numpy(sequences.clip_of_frame)
    return _reorder(sequences, torch.argsort(clip + noise))


def permute(sequences: Sequences, generator: torch.Generator) -> Sequences:
    """Permute frames across the whole corpus, within each split: what is left must gain nothing."""
    noise = torch.rand(len(sequences.frames), generator=generator, dtype=torch.float64)
    order = torch.empty(len(sequences.frames), dtype=torch.int64)
    for split in np.unique(sequences.splits):
        in_split = (sequences.splits == split)[sequences.clip_of_frame]
        here = torch.from_numpy(np.flatnonzero(in_split))
        order[here] = here[torch.argsort(noise[here])]
    return _reorder(sequences, order)


def _reorder(sequences: Sequences, order: Tensor) -> Sequences:
    return replace(sequences, frames=sequences.frames[order], voiced=sequences.voiced[order])


def simulate_linear(sequences: Sequences, generator: torch.Generator, order: int) -> Sequences:
    """Replace each clip by one of the same length simulated from a VAR fitted on train.

    Keeps the linear dynamics, loses everything else; real gain beyond it is non-linear structure.
    `voiced` stays as it was, and means nothing here.
    """
    fitted = [
        make_batches(sequences.select(split), 1, order, 8192) for split in ("train", "validation")
    ]
    simulated = _simulate(_stable(fit_var(*fitted, order)), sequences.lengths, generator)
    return replace(sequences, frames=simulated)


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


def make_surrogates(real: Sequences, linear_order: int, seed: int) -> dict[str, Sequences]:
    """Every surrogate of `real` by name.

    Args:
        real: the data.
        linear_order: frames of memory of the VAR behind `linear`.
        seed: of the permutations and the simulation.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        "shuffled": shuffle(real, generator),
        "permuted": permute(real, generator),
        "linear": simulate_linear(real, generator, linear_order),
    }
