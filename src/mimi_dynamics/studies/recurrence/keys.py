"""What a lookup may know: keys of a frame, made of it and the frames before it, of no other.

Whatever a key has to learn, it learns on train; the learned one stops by validation.
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

WINDOW_FRAMES = 4
CODE_FRAMES = 2
POOLED_FRAMES = 8
POOLED_CELLS = 64
RANDOM_DIM = 4
BATCH_FRAMES = 512  # also how many futures the learned key tells its own from, about
LEARNED_FRAMES = 8
LEARNED_DIM = 64
LEARNED_WIDTH = 256
LEARNED_DROPOUT = 0.2
NOISE = 0.7
TEMPERATURE = 0.1  # at the start


@dataclass(frozen=True)
class KeyData:
    """What keys are made of.

    Attributes:
        sequences: the clips of every split.
        codes: (frames,) int64, the codec's first codebook.
        scale: (dim,) float32, standard deviation of each coordinate before whitening.
        horizon: frames from the key to the future that is looked up.
        warmup_frames: frames at the start of a clip that are never targets.
        var_order: frames of memory of the linear prediction.
        lr: learning rate of the learned key.
        epochs: passes over train for the learned key.
        seed: of all that is random.
    """

    sequences: Sequences
    codes: Tensor
    scale: Tensor
    horizon: int
    warmup_frames: int
    var_order: int
    lr: float
    epochs: int
    seed: int

    def batches(self, split: str) -> list[Batch]:
        """Padded clips of one split, with the targets that `predict` scores."""
        sequences = self.sequences.select(split)
        return make_batches(sequences, self.horizon, self.warmup_frames, BATCH_FRAMES)

    def shuffled(self) -> "KeyData":
        """Frames and their codes permuted within each clip, the same way as in `predict`."""
        labelled = torch.cat([self.sequences.frames, self.codes[:, None].float()], 1)
        generator = torch.Generator().manual_seed(self.seed)
        mixed = shuffle(replace(self.sequences, frames=labelled), generator)
        sequences = replace(mixed, frames=mixed.frames[:, :-1].contiguous())
        return replace(self, sequences=sequences, codes=mixed.frames[:, -1].long())


def past_frames(sequences: Sequences, count: int) -> Tensor:
    """(frames, count, dim) the last `count` frames, newest first; zeros from before the clip."""
    starts = np.repeat(np.cumsum(sequences.lengths) - sequences.lengths, sequences.lengths)
    index = np.arange(len(starts))[:, None] - np.arange(count)
    inside = torch.from_numpy(index >= starts[:, None])
    return sequences.frames[torch.from_numpy(np.maximum(index, 0))] * inside[..., None]


def frame_key(data: KeyData) -> Tensor:
    """(frames, dim) the frame along its principal components, not whitened."""
    return data.sequences.frames * data.scale


def whitened_key(data: KeyData) -> Tensor:
    """(frames, dim) the frame as the predictor sees it."""
    return data.sequences.frames


def delta_key(data: KeyData) -> Tensor:
    """(frames, dim) the change since the frame before."""
    return difference_targets(data.sequences, 1)


def window_key(data: KeyData) -> Tensor:
    """(frames, WINDOW_FRAMES * dim) the last whitened frames."""
    return past_frames(data.sequences, WINDOW_FRAMES).flatten(1)


def codes_key(data: KeyData) -> Tensor:
    """(frames, CODE_FRAMES) int64 the last codes, newest first; -1 from before the clip."""
    starts = np.cumsum(data.sequences.lengths) - data.sequences.lengths
    lags = [data.codes]
    for _ in range(1, CODE_FRAMES):
        lagged = lags[-1].roll(1)
        lagged[torch.from_numpy(starts)] = -1
        lags.append(lagged)
    return torch.stack(lags, 1)


def pooled_key(data: KeyData) -> Tensor:
    """(frames, 1) int64 k-means cell of the mean of the last frames.

    The key of an earlier lookup test, rebuilt: rtavasso/audioEngram pooled a window of 8 frames,
    made 64 cells, and found next to nothing of the change that followed.
    """
    pooled = past_frames(data.sequences, POOLED_FRAMES).mean(1).numpy()
    train = (data.sequences.splits == "train")[data.sequences.clip_of_frame]
    with threadpool_limits(1):  # sums of several threads come in any order: not the same bits
        count = min(POOLED_CELLS, int(train.sum()))
        cells = KMeans(count, n_init=1, random_state=data.seed).fit(pooled[train])
        return torch.from_numpy(cells.predict(pooled)).long()[:, None]


def predicted_mean_key(data: KeyData) -> Tensor:
    """(frames, dim) what a ridge VAR expects: the same key should have the same future."""
    var = fit_var(data.batches("train"), data.batches("validation"), data.var_order)
    past = past_frames(data.sequences, data.var_order)
    return var.intercept + torch.einsum("fod,oed->fe", past, var.coefficients)


def learned_key(data: KeyData) -> Tensor:
    """(frames, LEARNED_DIM) trained to recognise its own future, of length 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(data.seed)
        model = ContrastiveKey(data.sequences.dim)
        training = TrainingParams(data.lr, data.epochs)
        generator = torch.Generator().manual_seed(data.seed)
        fit(model, data.batches("train"), data.batches("validation"), training, generator)
    with torch.no_grad():
        return model.key(past_frames(data.sequences, LEARNED_FRAMES))


def random_key(data: KeyData) -> Tensor:
    """(frames, RANDOM_DIM) noise: what a lookup finds that knows nothing."""
    generator = torch.Generator().manual_seed(data.seed)
    return torch.randn(len(data.sequences.frames), RANDOM_DIM, generator=generator)


class ContrastiveKey(nn.Module):
    """Tells the future of its own past from those of others (InfoNCE, van den Oord et al. 2018).

    The best score of a past and a future is log p(future | past) / p(future) up to a constant:
    pasts with the same key then have the same future. The future is seen through noise. Without
    it the task is too easy: neighbouring frames share 14 nats and ln 512 is 6, so recognising
    some detail suffices; the neighbours then explained 0.35 of the variance, with it 0.37.

    Args:
        dim: coordinates of a frame.
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
        """(rows, LEARNED_DIM) of (rows, LEARNED_FRAMES, dim) frames, newest first."""
        return functional.normalize(self.past(past.flatten(1)), dim=1)

    def forward(self, batch: Batch) -> Tensor:
        """(scored,) nats that recognising the own future among the batch's takes."""
        padded = functional.pad(batch.context, (0, 0, LEARNED_FRAMES - 1, 0))
        past = padded.unfold(1, LEARNED_FRAMES, 1)[batch.scored].transpose(1, 2).flip(1)
        target = batch.target[batch.scored]
        seen = self.future(target + NOISE * torch.randn_like(target))
        cosines = self.key(past) @ functional.normalize(seen, dim=1).T
        own = torch.arange(len(cosines))
        return functional.cross_entropy(cosines / self.log_temperature.exp(), own, reduction="none")


def euclidean(keys: Tensor, _train: Tensor) -> Tensor:
    """The keys as they are."""
    return keys


def cosine(keys: Tensor, _train: Tensor) -> Tensor:
    """Keys of length 1: the nearest are those at the smallest angle."""
    return functional.normalize(keys, dim=1)


def mahalanobis(keys: Tensor, train: Tensor) -> Tensor:
    """Keys without the covariance of train, L⁻¹ (key − mean) with L Lᵀ the covariance."""
    known = train.double()
    covariance = torch.cov(known.T).reshape(known.shape[1], -1)
    covariance.diagonal().add_(1e-6 * covariance.diagonal().mean())
    root = torch.linalg.cholesky(covariance)
    centred = (keys.double() - known.mean(0)).T
    return torch.linalg.solve_triangular(root, centred, upper=False).T.float()


# Each is the Euclidean distance after a map of all (frames, key_dim) keys that may learn from
# those of train.
METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": euclidean,
    "cosine": cosine,
    "mahalanobis": mahalanobis,
}


@dataclass(frozen=True)
class Key:
    """A key, and by which measures of likeness it is looked up.

    Attributes:
        make: from data to (frames, key_dim) keys of all frames.
        metrics: of `METRICS`, or `exact` for integers that are the same or not.
    """

    make: Callable[[KeyData], Tensor]
    metrics: tuple[str, ...]


# The longest work first, so that all cores are busy to the end.
KEYS = {
    "learned": Key(learned_key, ("cosine", "mahalanobis")),  # of length 1: euclidean is cosine
    "window": Key(window_key, tuple(METRICS)),
    "predicted_mean": Key(predicted_mean_key, tuple(METRICS)),
    "delta": Key(delta_key, tuple(METRICS)),
    "frame": Key(frame_key, tuple(METRICS)),
    "whitened": Key(whitened_key, ("euclidean", "cosine")),  # mahalanobis is that of `frame`
    "pooled": Key(pooled_key, ("exact",)),
    "codes": Key(codes_key, ("exact",)),
    "random": Key(random_key, ("euclidean",)),
}
