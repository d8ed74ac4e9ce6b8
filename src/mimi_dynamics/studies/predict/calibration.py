"""Is a forecast as sure as it should be? The rank of what came among samples of the forecast.

If the density is right, what came is one more sample: its rank is uniform, whether the samples are
ordered by their density (then the region that the densest samples fill has the coverage it claims;
Harrison et al. 2015, arXiv 1412.5384) or along a coordinate (the histogram of ranks; Hamill 2001).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.fit import FitSpec, batches_of
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.latents.sequences import Batch, scored_frames, subsample_targets

SAMPLES = 19  # ranks from 0 to 19: levels in steps of 5 %
FRAMES = 1500  # of a split, evenly: a flow's samples are dear
LEVELS = np.arange(1, SAMPLES + 1) / (SAMPLES + 1)


@dataclass(frozen=True)
class Ranks:
    """Of each frame, among `SAMPLES` samples.

    Attributes:
        clip: (frames,) index of the clip within the split.
        denser: (frames,) how many samples have a higher density than what came.
        below: (frames, dim) how many samples lie below what came, by coordinate.
    """

    clip: np.ndarray
    denser: np.ndarray
    below: np.ndarray

    def region_coverage(self, level: float, bootstrap: ClipBootstrap) -> Estimate:
        """How often the densest region said to hold `level` of the probability holds what came."""
        inside = self.denser < round(level * (SAMPLES + 1))
        return bootstrap.mean(inside, self.clip)

    def coordinate_coverage(self, level: float, bootstrap: ClipBootstrap) -> Estimate:
        """The same of the central interval of each coordinate, over all coordinates.

        For levels that are a multiple of 2 / (SAMPLES + 1).
        """
        tail = round((1 - level) / 2 * (SAMPLES + 1))
        inside = (self.below >= tail) & (self.below <= SAMPLES - tail)
        return bootstrap.mean(inside.mean(1), self.clip)


def rank_truth(job: FitSpec, predictor: Predictor, split: str) -> Ranks:
    """Ranks of what came in up to about `FRAMES` frames of a split, by a conditional density."""
    batches = batches_of(job, split)
    stride = max(1, scored_frames(batches) // FRAMES)
    batches = [subsample_targets(batch, stride) for batch in batches]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        ranks = [_rank(predictor.eval(), batch) for batch in batches if len(batch.frame)]
    frame = torch.cat([batch.frame for batch in batches]).numpy()
    denser, below = (torch.cat(of).numpy() for of in zip(*ranks, strict=True))
    return Ranks(job.sequences.select(split).clip_of_frame[frame], denser, below)


def _rank(predictor: Predictor, batch: Batch) -> tuple[Tensor, Tensor]:
    density = predictor.head(predictor.trunk.features(batch))
    came = batch.target[batch.scored]
    drawn = density.sample((SAMPLES,))
    likelihood = density.log_prob(predictor.whitening.whiten(came))
    denser = torch.stack([density.log_prob(sample) for sample in drawn]) > likelihood
    return denser.sum(0), (predictor.whitening.colour(drawn) < came).sum(0)


def calibration_metrics(
    ranks: Mapping[str, Ranks], bootstrap: ClipBootstrap
) -> dict[str, dict[str, float]]:
    """Coverage of the 50 % and 90 % regions and intervals, by head."""
    return {
        head: {
            key: value
            for level in (0.5, 0.9)
            for kind, estimate in {
                "region": of.region_coverage(level, bootstrap),
                "coordinate": of.coordinate_coverage(level, bootstrap),
            }.items()
            for key, value in estimate.metrics(f"{kind}_{level:.0%}".rstrip("%")).items()
        }
        for head, of in ranks.items()
    }
