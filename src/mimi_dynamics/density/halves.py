"""Validation in two halves: what chooses lags and regimes does not weigh what it has chosen."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.latents.sequences import Batch, BatchSource, Sequences


def halves(sequences: Sequences, validation: list[Batch]) -> tuple[list[Batch], np.ndarray]:
    """Let every other clip of validation choose, and the rest weigh.

    Networks stop early by all of validation, which chooses among a few epochs. Densities without a
    network choose among thousands of combinations of lags and penalties, and what looks best
    among so many is not as good as it looks.

    Args:
        sequences: the data.
        validation: batches of their validation split.

    Returns:
        The batches in which only targets of clips that choose are scored; and (scored,) bool, which
        targets of all batches are of clips that weigh. A single clip with targets does both.
    """
    clip_of_frame = sequences.select("validation").clip_of_frame
    clip = clip_of_frame[torch.cat([batch.frame for batch in validation]).numpy()]
    clips = np.unique(clip)
    if len(clips) == 1:
        return validation, np.ones(len(clip), bool)
    chooses = np.isin(clip, clips[::2])
    parts = torch.from_numpy(chooses).split([len(batch.frame) for batch in validation])
    kept = [_kept(batch, part) for batch, part in zip(validation, parts, strict=True)]
    return [batch for batch in kept if len(batch.frame)], ~chooses


def _kept(batch: Batch, part: Tensor) -> Batch:
    """Give the same batch, but score only some of its targets, as (scored,) bool says."""
    scored = batch.scored.clone()
    scored[batch.scored] = part
    return batch._replace(scored=scored, frame=batch.frame[part])


class Centred:
    """The same batches about the mean of train, so that sums over them lose no digits.

    Args:
        batches: of which every pass makes centred copies.
        mean: (dim,) to subtract from frames and targets.
    """

    def __init__(self, batches: list[Batch] | BatchSource, mean: Tensor) -> None:
        self.batches, self.mean = batches, mean

    def __len__(self) -> int:
        """Give the number of batches."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the centred batches of one pass."""
        for batch in self.batches:
            context, target = batch.context - self.mean, batch.target - self.mean
            yield batch._replace(context=context, target=target)
