"""Prediction without a model: find train frames with a like key, read what came after them.

The method of analogues (Lorenz 1969). What it explains needs nothing but the right key.
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

# Of a longer split every second, third, ... frame is taken: cost stays bounded on a large corpus,
# and an interval over clips hardly widens.
MEMORY_FRAMES = 100_000  # of train
SCORED_FRAMES = 3_000  # of any other split


class Moments(NamedTuple):
    """Pairs of a frame and the one `horizon` later, of one split.

    Attributes:
        now: (pairs,) index of the frame whose key is used.
        later: (pairs,) index of the future.
        clip: (pairs,) index of the clip within the split.
    """

    now: Tensor
    later: Tensor
    clip: np.ndarray


def moments(data: KeyData, split: str) -> Moments:
    """The pairs of one split whose future `predict` scores, thinned, in the order of the frames."""
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
    """(pairs, 2, dim) what came: x at the end of each pair, and its change since the start."""
    later, now = data.sequences.frames[pairs.later], data.sequences.frames[pairs.now]
    return torch.stack([later, later - now], 1)


def mean_errors(known: Tensor, came: Tensor, neighbours: Tensor, counts: list[int]) -> Tensor:
    """(queries, counts, kinds) squared error of the mean outcome of the first so many neighbours.

    Args:
        known: (keys, kinds, dim) what came after each key.
        came: (queries, kinds, dim) what came after each query.
        neighbours: (queries, neighbours) indices of keys, nearest first.
        counts: how many of them to take, rising.
    """
    steps = list(pairwise([0, *counts]))
    pieces = []
    for here, truth in zip(neighbours.split(256), came.split(256), strict=True):
        found = known[here]
        sums = torch.stack([found[:, a:b].sum(1) for a, b in steps], 1).cumsum(1)
        means = sums / torch.tensor(counts)[:, None, None]
        pieces.append((means - truth[:, None]).square().sum(-1))
    return torch.cat(pieces)


@dataclass(frozen=True)
class Scores:
    """Forecasts of one split, frame by frame; errors of x, and of its change from now to then.

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
        """1 − mean squared error / that of the train mean."""
        column = int(of_change)
        return _skill(bootstrap, self.clip, self.error[:, column], self.baseline[:, column])

    def energy_skill(self, bootstrap: ClipBootstrap) -> Estimate:
        """1 − energy score / that of climatology."""
        return _skill(bootstrap, self.clip, self.energy, self.climatology)

    def reductions(self, bootstrap: ClipBootstrap) -> list[Estimate]:
        """Variance reduction for every number of neighbours."""
        return [_skill(bootstrap, self.clip, e, self.baseline[:, 0]) for e in self.curve.T]


def _skill(
    bootstrap: ClipBootstrap, clip: np.ndarray, score: np.ndarray, reference: np.ndarray
) -> Estimate:
    floor = bootstrap.mean(reference, clip)
    return (floor - bootstrap.mean(score, clip)) / floor


def _score(
    data: KeyData, pairs: Moments, known: Tensor, error: Tensor, curve: Tensor, sample: Tensor
) -> Scores:
    """Scores of (samples, pairs, dim) draws, beside as many random ones of what is known."""
    came = outcomes(data, pairs)
    generator = torch.Generator().manual_seed(data.seed)
    anyone = torch.randint(len(known), sample.shape[:2], generator=generator)
    return Scores(
        clip=pairs.clip,
        error=error.numpy(),
        baseline=(came - known.mean(0)).square().sum(-1).numpy(),
        energy=energy_score(sample, came[:, 0]).numpy(),
        climatology=energy_score(known[anyone, 0], came[:, 0]).numpy(),
        curve=curve.numpy(),
    )


@dataclass(frozen=True)
class Lookup:
    """One key of one row of data, to be looked up by each of its metrics.

    Attributes:
        row: name of the data, `real` or a surrogate's.
        key: of `KEYS`.
        data: of that row.
        counts: numbers of neighbours to choose from, rising, the last at least 2.
        samples: draws that the energy score is of; so many neighbours at most.
    """

    row: str
    key: str
    data: KeyData
    counts: list[int]
    samples: int


@dataclass(frozen=True)
class Found:
    """What a lookup found.

    Attributes:
        neighbours: how many are best on validation.
        validation: the variance reduction by so many there.
        scores: by evaluated split.
    """

    neighbours: int
    validation: float
    scores: dict[str, Scores]


def neighbour_counts(data: KeyData, most: int) -> list[int]:
    """1, 2, 4, ... up to `most`.

    Raises:
        InputError: if train has fewer frames than that.
    """
    frames = len(moments(data, "train").now)
    if most > frames:
        raise InputError(
            f"recurrence.neighbours = {most}: must be at most the {frames} frames of train"
        )
    return [2**power for power in range(most.bit_length())]


def look_up(job: Lookup) -> dict[str, Found]:
    """By metric: choose the number of neighbours on validation, score the evaluated splits."""
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

    def errors_on_x(came: Tensor, found: Tensor) -> Tensor:
        return mean_errors(known[:, :1], came[:, :1], found, job.counts)[..., 0]

    _, came, found = search("validation", job.counts[-1])
    errors = errors_on_x(came, found).mean(0)
    count = job.counts[int(errors.argmin())]
    floor = (came[:, 0] - known[:, 0].mean(0)).square().sum(-1).mean()
    taken = max(count, 2)  # a sample of one has no spread
    ranks = torch.linspace(0, taken - 1, min(job.samples, taken)).round().long()
    scores = {}
    for split in evaluated_splits(data.sequences):
        pairs, came, found = search(split, job.counts[-1] if split == "test" else taken)
        error = mean_errors(known, came, found[:, :count], [count])[:, 0]
        curve = errors_on_x(came, found) if split == "test" else error[:, :0]
        scores[split] = _score(data, pairs, known, error, curve, known[found[:, ranks].T, 0])
    return Found(count, 1 - (errors.min() / floor).item(), scores)


@dataclass(frozen=True)
class Yardstick:
    """The parametric predictor, to be scored on the same frames.

    Attributes:
        predictor: of the frame `data.horizon` ahead.
        data: the real data.
        split: to be scored.
        samples: draws of each forecast, 2 at least.
    """

    predictor: Predictor
    data: KeyData
    split: str
    samples: int


def score_predictor(job: Yardstick) -> Scores:
    """Scores of the predictor's samples, and of its mean without their sampling noise.

    The mean of m draws misses by 1/m of their variance more than the mean of the distribution;
    that much, estimated from the same draws, is taken off the squared error.
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
    # x_t is known: the change is missed by as much as x is.
    error = missed.sum(-1, keepdim=True).expand(-1, 2)
    return _score(job.data, pairs, known, error, error[:, :0], sample)
