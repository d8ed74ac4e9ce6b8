"""The keys of a lookup: each is made of a frame and the frames before it, and of no later frame.

Whatever a key has to learn, it learns on train; the learned key uses validation to decide when to
stop.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional

from mimi_dynamics.density.training import TrainingParams, fit
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.evidence.surrogates import shuffle
from mimi_dynamics.latents.sequences import Batch, Sequences, difference_targets, make_batches

# Keys are made of all frames of a split, with 8 frames of context each: of a split with more, clips
# are left out. Lookups are among 100,000 at most.
MOST_FRAMES = 200_000
WINDOW_FRAMES = 4
CODE_FRAMES = 2
POOLED_FRAMES = 8
POOLED_CELLS = 64
RANDOM_DIM = 4
# This is also about the number of futures among which the learned key has to find its own.
BATCH_FRAMES = 512
LEARNED_FRAMES = 8
LEARNED_DIM = 64
LEARNED_WIDTH = 256
LEARNED_DROPOUT = 0.2
NOISE = 0.7
TEMPERATURE = 0.1  # initial value


@dataclass(frozen=True)
class KeyData:
    """The data from which keys are made.

    Attributes:
        sequences: the clips of every split.
        codes: (frames,) int64, codes of the first codebook of the codec; None if it has no codes.
        scale: (dim,) float32, standard deviation of each coordinate before whitening.
        horizon: number of frames from the key to the future that is looked up.
        warmup_frames: number of frames at the start of a clip that are never targets.
        var_order: order of the linear prediction, in frames.
        lr: learning rate of the learned key.
        epochs: number of passes over train for the learned key.
        seed: seed of everything that is random.
    """

    sequences: Sequences
    codes: Tensor | None
    scale: Tensor
    horizon: int
    warmup_frames: int
    var_order: int
    lr: float
    epochs: int
    seed: int

    def batches(self, split: str) -> list[Batch]:
        """Give padded clips of one split, with the targets that stage `horizon` scores."""
        sequences = self.sequences.select(split)
        return make_batches(sequences, self.horizon, self.warmup_frames, BATCH_FRAMES)

    def few_enough(self) -> "KeyData":
        """Give every n-th clip of a split, so that it has about `MOST_FRAMES` at most."""
        of = self.sequences
        kept = np.zeros(len(of.splits), bool)
        for split in np.unique(of.splits):
            clips = np.flatnonzero(of.splits == split)
            kept[clips[:: -(-int(of.lengths[clips].sum()) // MOST_FRAMES)]] = True
        frames = torch.from_numpy(np.repeat(kept, of.lengths))
        codes = None if self.codes is None else self.codes[frames]
        return replace(self, sequences=of.keep(kept), codes=codes)

    def shuffled(self) -> "KeyData":
        """Permute frames and codes in each clip, as `horizon@1` does where all clips are kept."""
        generator = torch.Generator().manual_seed(self.seed)
        first = max(self.horizon, self.warmup_frames)
        if self.codes is None:
            return replace(self, sequences=shuffle(self.sequences, generator, first))
        labelled = torch.cat([self.sequences.frames, self.codes[:, None].float()], 1)
        mixed = shuffle(replace(self.sequences, frames=labelled), generator, first)
        sequences = replace(mixed, frames=mixed.frames[:, :-1].contiguous())
        return replace(self, sequences=sequences, codes=mixed.frames[:, -1].long())


def past_frames(sequences: Sequences, count: int) -> Tensor:
    """Give the last `count` frames at every frame.

    Args:
        sequences: the clips.
        count: number of frames.

    Returns:
        (frames, count, dim) frames, newest first, with zeros for those before the clip.
    """
    starts = np.repeat(np.cumsum(sequences.lengths) - sequences.lengths, sequences.lengths)
    index = np.arange(len(starts))[:, None] - np.arange(count)
    inside = torch.from_numpy(index >= starts[:, None])
    return sequences.frames[torch.from_numpy(np.maximum(index, 0))] * inside[..., None]


def frame_key(data: KeyData) -> Tensor:
    """Give the (frames, dim) frame along its principal components, not whitened."""
    return data.sequences.frames * data.scale


def whitened_key(data: KeyData) -> Tensor:
    """Give the (frames, dim) frame as the predictor sees it."""
    return data.sequences.frames


def delta_key(data: KeyData) -> Tensor:
    """Give the (frames, dim) change since the previous frame."""
    return difference_targets(data.sequences, 1)


def window_key(data: KeyData) -> Tensor:
    """Give the last whitened frames, (frames, WINDOW_FRAMES * dim)."""
    return past_frames(data.sequences, WINDOW_FRAMES).flatten(1)


def codes_key(data: KeyData) -> Tensor:
    """Give the last codes, (frames, CODE_FRAMES) int64, newest first, with -1 before the clip."""
    assert data.codes is not None  # see `keys_of`
    starts = np.cumsum(data.sequences.lengths) - data.sequences.lengths
    lags = [data.codes]
    for _ in range(1, CODE_FRAMES):
        lagged = lags[-1].roll(1)
        lagged[torch.from_numpy(starts)] = -1
        lags.append(lagged)
    return torch.stack(lags, 1)


def pooled_key(data: KeyData) -> Tensor:
    """Give the k-means cell of the mean of the last frames, (frames, 1) int64.

    This rebuilds the key of an earlier lookup test: rtavasso/audioEngram pooled a window of 8
    frames into 64 cells, and found next to nothing about the change that followed. Cells are not
    learned from windows that end in a gated frame.
    """
    pooled = past_frames(data.sequences, POOLED_FRAMES).mean(1).numpy()
    train = (data.sequences.splits == "train")[data.sequences.clip_of_frame]
    train &= ~data.sequences.gated.numpy()
    with threadpool_limits(1):  # several threads add up in any order, which changes the last bits
        count = min(POOLED_CELLS, int(train.sum()))
        cells = KMeans(count, n_init=1, random_state=data.seed).fit(pooled[train])
        return torch.from_numpy(cells.predict(pooled)).long()[:, None]


def predicted_mean_key(data: KeyData) -> Tensor:
    """Give the (frames, dim) forecast of a ridge VAR: the same key should have the same future."""
    var = fit_var(data.batches("train"), data.batches("validation"), data.var_order)
    past = past_frames(data.sequences, len(var.coefficients))
    return var.intercept + torch.einsum("fod,oed->fe", past, var.coefficients)


def learned_key(data: KeyData) -> Tensor:
    """Train a key to recognise its own future.

    Returns:
        (frames, LEARNED_DIM) keys of length 1.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(data.seed)
        model = ContrastiveKey(data.sequences.dim)
        training = TrainingParams(data.lr, data.epochs)
        generator = torch.Generator().manual_seed(data.seed)
        fit(model, data.batches("train"), data.batches("validation"), training, generator)
    with torch.no_grad():
        return model.key(past_frames(data.sequences, LEARNED_FRAMES))


def random_key(data: KeyData) -> Tensor:
    """Give (frames, RANDOM_DIM) noise, as the key of a lookup that knows nothing."""
    generator = torch.Generator().manual_seed(data.seed)
    return torch.randn(len(data.sequences.frames), RANDOM_DIM, generator=generator)


class ContrastiveKey(nn.Module):
    """A key that tells the future of its own past from other futures.

    This is InfoNCE (van den Oord et al. 2018). The best score of a past and a future is log
    p(future | past) / p(future) up to a constant: pasts with the same key then have the same
    future. The future is seen through noise. Without noise the task is too easy: neighbouring
    frames share 14 nats and ln 512 is 6, so that recognising some detail is enough. The neighbours
    then explained 0.35 of the variance, and 0.37 with noise.

    Args:
        dim: number of coordinates of a frame.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.past = nn.Sequential(
            nn.Linear(LEARNED_FRAMES * dim, LEARNED_WIDTH),
            nn.SiLU(),
            nn.Dropout(LEARNED_DROPOUT),
            nn.Linear(LEARNED_WIDTH, LEARNED_WIDTH),
            nn.SiLU(),
            nn.Dropout(LEARNED_DROPOUT),
            nn.Linear(LEARNED_WIDTH, LEARNED_DIM),
        )
        self.future = nn.Linear(dim, LEARNED_DIM)
        self.log_temperature = nn.Parameter(torch.tensor(TEMPERATURE).log())

    def key(self, past: Tensor) -> Tensor:
        """Give (rows, LEARNED_DIM) keys of (rows, LEARNED_FRAMES, dim) frames, newest first."""
        return functional.normalize(self.past(past.flatten(1)), dim=1)

    def forward(self, batch: Batch) -> Tensor:
        """Give the (scored,) loss, in nats, of recognising each own future among the batch's."""
        padded = functional.pad(batch.context, (0, 0, LEARNED_FRAMES - 1, 0))
        past = padded.unfold(1, LEARNED_FRAMES, 1)[batch.scored].transpose(1, 2).flip(1)
        target = batch.target[batch.scored]
        seen = self.future(target + NOISE * torch.randn_like(target))
        cosines = self.key(past) @ functional.normalize(seen, dim=1).T
        own = torch.arange(len(cosines))
        return functional.cross_entropy(cosines / self.log_temperature.exp(), own, reduction="none")


def euclidean(keys: Tensor, _train: Tensor) -> Tensor:
    """Give the keys as they are."""
    return keys


def cosine(keys: Tensor, _train: Tensor) -> Tensor:
    """Scale keys to length 1, so that the nearest ones are those at the smallest angle."""
    return functional.normalize(keys, dim=1)


def mahalanobis(keys: Tensor, train: Tensor) -> Tensor:
    """Whiten keys by the covariance of train: L⁻¹ (key − mean), where L Lᵀ is that covariance.

    Args:
        keys: (frames, key_dim) keys of all frames.
        train: (pairs, key_dim) keys of train.
    """
    known = train.double()
    covariance = torch.cov(known.T).reshape(known.shape[1], -1)
    covariance.diagonal().add_(1e-6 * covariance.diagonal().mean())
    root = torch.linalg.cholesky(covariance)
    centred = (keys.double() - known.mean(0)).T
    return torch.linalg.solve_triangular(root, centred, upper=False).T.float()


# Each metric is the Euclidean distance after a map of all (frames, key_dim) keys. The map may use
# statistics of the keys of train.
METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": euclidean,
    "cosine": cosine,
    "mahalanobis": mahalanobis,
}


@dataclass(frozen=True)
class Key:
    """A key, and the metrics by which it is looked up.

    Attributes:
        make: makes (frames, key_dim) keys of all frames from data.
        metrics: keys of `METRICS`, or `exact` for integers that are either equal or not.
    """

    make: Callable[[KeyData], Tensor]
    metrics: tuple[str, ...]


# The longest work comes first, so that all cores are busy until the end.
KEYS = {
    "learned": Key(learned_key, ("cosine", "mahalanobis")),  # at length 1, euclidean is cosine
    "window": Key(window_key, tuple(METRICS)),
    "predicted_mean": Key(predicted_mean_key, tuple(METRICS)),
    "delta": Key(delta_key, tuple(METRICS)),
    "frame": Key(frame_key, tuple(METRICS)),
    "whitened": Key(whitened_key, ("euclidean", "cosine")),  # mahalanobis is as for `frame`
    "pooled": Key(pooled_key, ("exact",)),
    "codes": Key(codes_key, ("exact",)),
    "random": Key(random_key, ("euclidean",)),
}


def keys_of(data: KeyData) -> list[str]:
    """List the keys of `KEYS` that can be made of data."""
    return [name for name in KEYS if name != "codes" or data.codes is not None]
