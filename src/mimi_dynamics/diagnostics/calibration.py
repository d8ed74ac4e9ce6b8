"""Calibration: the rank of the observed frame among samples of the forecast.

If the density is right, the observed frame is like one more sample, so its rank is uniform. This
holds if samples are ordered by their density (then the region that the densest samples fill has the
coverage it claims; Harrison et al. 2015, arXiv 1412.5384), and if they are ordered along a
coordinate (the rank histogram; Hamill 2001).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.fit import FitSpec, batches_of
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.latents.sequences import Batch, in_memory, scored_frames, subsample_targets

SAMPLES = 19  # gives ranks from 0 to 19, so levels in steps of 5 %
FRAMES = 1500  # evenly spaced over a split; samples of a flow are too expensive for all frames
LEVELS = np.arange(1, SAMPLES + 1) / (SAMPLES + 1)


@dataclass(frozen=True)
class Ranks:
    """Ranks of observed frames among `SAMPLES` samples of their forecasts.

    Attributes:
        clip: (frames,) index of the clip within the split.
        denser: (frames,) number of samples with a higher density than the observed frame.
        below: (frames, dim) number of samples below the observed frame, by coordinate.
    """

    clip: np.ndarray
    denser: np.ndarray
    below: np.ndarray

    def region_coverage(self, level: float, bootstrap: ClipBootstrap) -> Estimate:
        """Estimate how often the observed frame lies in the densest region of a given probability.

        Args:
            level: the probability that the forecast gives to the region.
            bootstrap: bootstrap draws of the clips.
        """
        inside = self.denser < round(level * (SAMPLES + 1))
        return bootstrap.mean(inside, self.clip)

    def coordinate_coverage(self, level: float, bootstrap: ClipBootstrap) -> Estimate:
        """Estimate how often an observed coordinate lies in the central interval of its forecast.

        Args:
            level: the probability of the interval, a multiple of 2 / (SAMPLES + 1).
            bootstrap: bootstrap draws of the clips.

        Returns:
            The share over all coordinates and frames.
        """
        tail = round((1 - level) / 2 * (SAMPLES + 1))
        inside = (self.below >= tail) & (self.below <= SAMPLES - tail)
        return bootstrap.mean(inside.mean(1), self.clip)


def rank_truth(job: FitSpec, predictor: Predictor, split: str) -> Ranks:
    """Rank about `FRAMES` observed frames of a split, or all if there are fewer.

    Args:
        job: the fit, which gives the data and the seed.
        predictor: the conditional density.
        split: name of the split.
    """
    batches = in_memory(batches_of(job, split))
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
    """Give the coverage of the 50 % and 90 % regions and intervals, by head."""
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
