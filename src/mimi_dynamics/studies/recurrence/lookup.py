"""Prediction without a model: find train frames with a similar key, and use what came after them.

This is the method of analogues (Lorenz 1969). It needs nothing but the right key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.energy_score import energy_score
from mimi_dynamics.latents.nearest import nearest
from mimi_dynamics.latents.sequences import scored_frames, subsample_targets
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.recurrence.keys import KEYS, METRICS, KeyData
from mimi_dynamics.studies.recurrence.search import matching

# Of a longer split only every second, third, ... frame is used. This bounds the cost on a large
# corpus and hardly widens an interval over clips.
MEMORY_FRAMES = 100_000  # largest number of frames of train
SCORED_FRAMES = 3_000  # largest number of frames of any other split


class Moments(NamedTuple):
    """Pairs of a frame and the frame `horizon` later, from one split.

    Attributes:
        now: (pairs,) index of the frame whose key is used.
        later: (pairs,) index of the future frame.
        clip: (pairs,) index of the clip within the split.
    """

    now: Tensor
    later: Tensor
    clip: np.ndarray


def moments(data: KeyData, split: str) -> Moments:
    """Give the pairs of one split whose future stage `horizon` scores, thinned, in frame order."""
    sequences = data.sequences
    batches, stride = data.batches(split), _stride(data, split)
    frame = torch.cat([batch.frame for batch in batches]).sort().values
    frame = frame[frame % stride == 0]
    within = np.flatnonzero((sequences.splits == split)[sequences.clip_of_frame])
    later = torch.from_numpy(within)[frame]
    clip = sequences.select(split).clip_of_frame[frame.numpy()]
    return Moments(later - data.horizon, later, clip)


def _stride(data: KeyData, split: str) -> int:
    limit = MEMORY_FRAMES if split == "train" else SCORED_FRAMES
    return -(-scored_frames(data.batches(split)) // limit)


def outcomes(data: KeyData, pairs: Moments) -> Tensor:
    """Give what followed: x at the end of each pair, and its change since the start of the pair.

    Returns:
        (pairs, 2, dim).
    """
    later, now = data.sequences.frames[pairs.later], data.sequences.frames[pairs.now]
    return torch.stack([later, later - now], 1)


def mean_errors(known: Tensor, observed: Tensor, neighbours: Tensor, counts: list[int]) -> Tensor:
    """Give squared errors of the mean outcome of the nearest neighbours, by their number.

    Args:
        known: (keys, kinds, dim) what came after each key.
        observed: (queries, kinds, dim) what came after each query.
        neighbours: (queries, neighbours) indices of keys, nearest first.
        counts: numbers of neighbours to average, rising.

    Returns:
        (queries, counts, kinds) squared errors.
    """
    steps = list(pairwise([0, *counts]))
    pieces = []
    for here, truth in zip(neighbours.split(256), observed.split(256), strict=True):
        result = known[here]
        sums = torch.stack([result[:, a:b].sum(1) for a, b in steps], 1).cumsum(1)
        means = sums / torch.tensor(counts)[:, None, None]
        pieces.append((means - truth[:, None]).square().sum(-1))
    return torch.cat(pieces)


@dataclass(frozen=True)
class Scores:
    """Scores of forecasts of one split by frame; errors are of x, and of its change until then.

    Attributes:
        clip: (frames,) index of the clip within the split.
        error: (frames, 2) squared error of the point forecast.
        baseline: (frames, 2) squared error of the train mean.
        energy: (frames,) fair energy score of the sample.
        climatology: (frames,) fair energy score of random train frames.
        curve: (frames, counts) squared error on x by number of neighbours, for lookups on `test`.
    """

    clip: np.ndarray
    error: np.ndarray
    baseline: np.ndarray
    energy: np.ndarray
    climatology: np.ndarray
    curve: np.ndarray

    def variance_reduction(self, bootstrap: ClipBootstrap, *, of_change: bool = False) -> Estimate:
        """Give 1 − mean squared error / mean squared error of the train mean.

        Args:
            bootstrap: bootstrap draws of the clips.
            of_change: whether to score the change since the known frame, instead of x.
        """
        column = int(of_change)
        return _skill(bootstrap, self.clip, self.error[:, column], self.baseline[:, column])

    def energy_skill(self, bootstrap: ClipBootstrap) -> Estimate:
        """Give 1 − energy score / energy score of climatology."""
        return _skill(bootstrap, self.clip, self.energy, self.climatology)

    def reductions(self, bootstrap: ClipBootstrap) -> list[Estimate]:
        """Give the variance reduction for every number of neighbours."""
        return [_skill(bootstrap, self.clip, e, self.baseline[:, 0]) for e in self.curve.T]


def _skill(
    bootstrap: ClipBootstrap, clip: np.ndarray, score: np.ndarray, reference: np.ndarray
) -> Estimate:
    floor = bootstrap.mean(reference, clip)
    return (floor - bootstrap.mean(score, clip)) / floor


def _score(
    data: KeyData, pairs: Moments, known: Tensor, error: Tensor, curve: Tensor, sample: Tensor
) -> Scores:
    """Score (samples, pairs, dim) draws, and as many random frames of `known` for comparison."""
    observed = outcomes(data, pairs)
    generator = torch.Generator().manual_seed(data.seed)
    climatology_index = torch.randint(len(known), sample.shape[:2], generator=generator)
    return Scores(
        clip=pairs.clip,
        error=error.numpy(),
        baseline=(observed - known.mean(0)).square().sum(-1).numpy(),
        energy=energy_score(sample, observed[:, 0]).numpy(),
        climatology=energy_score(known[climatology_index, 0], observed[:, 0]).numpy(),
        curve=curve.numpy(),
    )


@dataclass(frozen=True)
class Lookup:
    """One key of one row of data, to be looked up by each of its metrics.

    Attributes:
        row: name of the data: `real`, or the name of a surrogate.
        key: a key of `KEYS`.
        data: the data of that row.
        counts: numbers of neighbours to choose from, rising, the last at least 2.
        samples: number of draws for the energy score; no more neighbours than this are drawn.
    """

    row: str
    key: str
    data: KeyData
    counts: list[int]
    samples: int


@dataclass(frozen=True)
class Found:
    """The result of a lookup.

    Attributes:
        neighbours: number of neighbours that is best on validation.
        validation: variance reduction on validation with that number.
        scores: scores by evaluated split.
    """

    neighbours: int
    validation: float
    scores: dict[str, Scores]


def neighbour_counts(data: KeyData, most: int) -> list[int]:
    """Give the numbers 1, 2, 4, ... up to `most`.

    Args:
        data: the data.
        most: the largest number allowed.

    Raises:
        InputError: if train has fewer frames than `most`.
    """
    frames = len(moments(data, "train").now)
    if most > frames:
        raise InputError(
            f"recurrence.neighbours = {most}: must be at most the {frames} frames of train"
        )
    return [2**power for power in range(most.bit_length())]


def look_up(job: Lookup) -> dict[str, Found]:
    """Choose the number of neighbours on validation and score the evaluated splits, by metric."""
    train, key = moments(job.data, "train"), KEYS[job.key]
    keys = key.make(job.data)
    return {metric: _look_up_by(job, keys, train, metric) for metric in key.metrics}


def _look_up_by(job: Lookup, keys: Tensor, train: Moments, metric: str) -> Found:
    data, known = job.data, outcomes(job.data, train)
    find: Callable[[Tensor, Tensor, int], Tensor] = nearest
    if metric in METRICS:
        keys = METRICS[metric](keys, keys[train.now])
    else:
        find = partial(matching, seed=data.seed)

    def search(split: str, count: int) -> tuple[Moments, Tensor, Tensor]:
        pairs = moments(data, split)
        return pairs, outcomes(data, pairs), find(keys[pairs.now], keys[train.now], count)

    def errors_on_x(observed: Tensor, found: Tensor) -> Tensor:
        return mean_errors(known[:, :1], observed[:, :1], found, job.counts)[..., 0]

    _, observed, found = search("validation", job.counts[-1])
    errors = errors_on_x(observed, found).mean(0)
    count = job.counts[int(errors.argmin())]
    floor = (observed[:, 0] - known[:, 0].mean(0)).square().sum(-1).mean()
    taken = max(count, 2)  # the energy score needs at least two draws
    ranks = torch.linspace(0, taken - 1, min(job.samples, taken)).round().long()
    scores = {}
    for split in evaluated_splits(data.sequences):
        pairs, observed, found = search(split, job.counts[-1] if split == "test" else taken)
        error = mean_errors(known, observed, found[:, :count], [count])[:, 0]
        curve = errors_on_x(observed, found) if split == "test" else error[:, :0]
        scores[split] = _score(data, pairs, known, error, curve, known[found[:, ranks].T, 0])
    return Found(count, 1 - (errors.min() / floor).item(), scores)


@dataclass(frozen=True)
class Yardstick:
    """The trained predictor, to be scored on the same frames as lookups.

    Attributes:
        predictor: predicts the frame `data.horizon` ahead.
        data: the real data.
        split: the split to score.
        samples: number of draws of each forecast, at least 2.
    """

    predictor: Predictor
    data: KeyData
    split: str
    samples: int


def score_predictor(job: Yardstick) -> Scores:
    """Score samples of the predictor, and its mean without the sampling noise.

    The squared error of the mean of m draws exceeds that of the mean of the distribution by 1/m of
    the variance of the draws. That amount, estimated from the same draws, is subtracted.
    """
    pairs, known = moments(job.data, job.split), outcomes(job.data, moments(job.data, "train"))
    stride = _stride(job.data, job.split)
    batches = [subsample_targets(batch, stride) for batch in job.data.batches(job.split)]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.data.seed)
        sample = torch.cat([job.predictor.sample(b, job.samples) for b in batches], 1)
    sample = sample[:, torch.cat([batch.frame for batch in batches]).argsort()]
    missed = (sample.mean(0) - outcomes(job.data, pairs)[:, 0]).square()
    missed -= sample.var(0) / job.samples
    # x_t is known, so the error of the change equals the error of x.
    error = missed.sum(-1, keepdim=True).expand(-1, 2)
    return _score(job.data, pairs, known, error, error[:, :0], sample)
