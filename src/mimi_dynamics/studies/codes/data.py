"""The codes of all clips as sequences, what each code stands for, and how frequent it is."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.normalizer import frames_in_split, some_frames, voiced_frames
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.params import Params

SWEEPS = 3  # over all codebooks, in which the vectors of each are fitted to what the others leave
PRIOR_FRAMES = 2  # of zeros, added to the frames of every code: one seen once tells little
LEAST_VARIANCE = 1e-6  # of a component, relative to the first; others are rounding errors
SMOOTHING = (0.1, 0.3, 1.0, 3.0, 10.0)  # counts that may be added to those of every code


@dataclass(frozen=True)
class CodeData:
    """What a model of codes is fitted to and scored on.

    Attributes:
        sequences: the clips of every split. A frame's coordinates are its codes, as numbers.
        vectors: (codebooks, bins, dim) float32, what each code adds to a frame; sums of them over
            the codebooks are white on train.
        warmup_frames: number of frames at the start of a clip that are never targets.
        batch_frames: most padded frames in a batch.
    """

    sequences: Sequences
    vectors: Tensor
    warmup_frames: int
    batch_frames: int

    def batches(self, split: str) -> list[Batch]:
        """Give padded clips of one split, with the targets that other stages score, too."""
        size = self.warmup_frames, self.batch_frames
        return make_batches(self.sequences.select(split), NEXT_FRAME, *size)

    def as_vectors(self) -> "CodeData":
        """Give the same clips, with the sum of the vectors of its codes for every frame."""
        frames = add_vectors(self.vectors, self.sequences.frames.long())
        return replace(self, sequences=replace(self.sequences, frames=frames))


def make_code_data(latents: Latents, bins: int, params: Params) -> CodeData:
    """Make the data of a codec that has codes.

    Args:
        latents: what the stage `encode` wrote.
        bins: number of values that each code can have.
        params: all settings.
    """
    codes = torch.from_numpy(latents.codes.astype(np.int64))
    train = some_frames(frames_in_split(latents, "train") & ~latents.gated)
    values = torch.from_numpy(latents.values[train])
    vectors = fit_vectors(codes[torch.from_numpy(train)], values, bins, params.codes.dim)
    sequences = Sequences(
        frames=codes.float(),
        voiced=torch.from_numpy(voiced_frames(latents, params.latents.voiced_range_db)),
        gated=torch.from_numpy(latents.gated),
        lengths=latents.lengths,
        splits=latents.splits,
        frame_rate=latents.info["frame_rate"],
    )
    return CodeData(sequences, vectors, params.predict.warmup_frames, params.codes.batch_frames)


def fit_vectors(codes: Tensor, latents: Tensor, bins: int, dim: int) -> Tensor:
    """Find what each code adds to the latent of its frame, by least squares over all frames.

    A receiver knows this of any codec, and the codes' numbers tell nothing by themselves. With
    tables learned with the rest of a first version of the model, the past saved 0.1 bits a frame on
    validation, with such vectors 2.8 to 3.3: 43,000 frames show each of 4,096 codes 80 times.

    Args:
        codes: (frames, codebooks) int64, of train.
        latents: (frames, latent_dim) the latents of the same frames.
        bins: number of values that each code can have.
        dim: most principal components of the sums over codebooks to keep.

    Returns:
        (codebooks, bins, up to dim) float32, scaled so that their sums are white on train.
    """
    latents = latents.double() - latents.double().mean(0)
    codebooks = codes.shape[1]
    vectors = latents.new_zeros(codebooks, bins, latents.shape[1])
    left = latents  # what no codebook has explained yet
    for codebook in [*range(codebooks)] * SWEEPS:
        own, before = codes[:, codebook], vectors[codebook]
        counts = torch.bincount(own, minlength=bins)[:, None] + PRIOR_FRAMES
        after = torch.zeros_like(before).index_add_(0, own, left + before[own]) / counts
        left = left + (before - after)[own]
        vectors[codebook] = after
    decoded = latents - left
    variances, components = torch.linalg.eigh(decoded.T @ decoded / len(decoded))
    kept = (variances > LEAST_VARIANCE * variances[-1]).nonzero()[:, 0].flip(0)[:dim]
    return (vectors @ (components[:, kept] / variances[kept].sqrt())).float()


def add_vectors(vectors: Tensor, codes: Tensor) -> Tensor:
    """Add up the vectors of every frame's codes.

    Args:
        vectors: (codebooks, bins, dim).
        codes: (..., codebooks) int64.

    Returns:
        (..., dim)
    """
    total = vectors[0, codes[..., 0]]
    for codebook in range(1, len(vectors)):  # All at once would need `codebooks` times the memory.
        total = total + vectors[codebook, codes[..., codebook]]
    return total


def fit_frequencies(train: list[Batch], validation: list[Batch], bins: int) -> Tensor:
    """Fit how frequent each code is among the targets, with the smoothing best on validation.

    Args:
        train: batches to count in.
        validation: batches that choose how many counts are added to those of every code.
        bins: number of values that each code can have.

    Returns:
        (codebooks, bins) float32 log-probabilities, in nats.
    """
    known, held_out = (
        torch.cat([batch.target[batch.scored] for batch in of]).long().T
        for of in (train, validation)
    )
    counts = torch.stack([torch.bincount(of, minlength=bins) for of in known]).double()
    smoothed = [counts + extra for extra in SMOOTHING]
    candidates = [(of / of.sum(1, keepdim=True)).log() for of in smoothed]
    best = max(candidates, key=lambda of: float(of.gather(1, held_out).sum()))
    return best.float()
