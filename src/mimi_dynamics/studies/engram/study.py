"""Training of every variant, seed and sequence on the same batches, and their scores by frame."""

import zlib
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from mimi_dynamics.density.devices import on_device, to_device_of, uncompiled
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.density.training import TrainingParams, diverging_named, fit, losses
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.pipeline.conventions import EVALUATED_SPLITS, NEXT_FRAME
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.params import PredictParams
from mimi_dynamics.studies.engram.keys import Keys, in_split
from mimi_dynamics.studies.engram.model import (
    WITH_MEMORY,
    KeyedTrunk,
    Shape,
    Variant,
    build,
    make_optimizers,
    trunk_of,
)


@dataclass(frozen=True)
class Subject:
    """A sequence that a memory may help to predict.

    Attributes:
        name: `raw` or `z_dyn`.
        data: the clips.
        keys: the keys of all frames.
        noisy: (frames,) keys of the frames with noise added, for training; None for no noise.
        params: settings of the estimator, for warm-up and batches.
        codes: (frames,) codes of the codec's first codebook; None if keys need no others.
    """

    name: str
    data: Sequences
    keys: Keys
    noisy: np.ndarray | None
    params: PredictParams
    codes: np.ndarray | None = None

    def batches(self, split: str, keys: np.ndarray | None = None) -> list[Batch]:
        """Make batches of one split; the last coordinate of contexts is the key, targets have none.

        Args:
            split: name of the split.
            keys: (frames,) keys to use instead of the subject's own.
        """
        values = self.keys.values if keys is None else keys
        column = torch.from_numpy(values).to(self.data.frames.dtype)[:, None]
        keyed = replace(self.data, frames=torch.cat([self.data.frames, column], 1)).select(split)
        plain = self.data.select(split)
        size = self.params.warmup_frames, self.params.batch_frames
        return make_batches(keyed, NEXT_FRAME, *size, targets=plain.frames)


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        subject: the sequence to predict.
        shape: the shape of the models.
        variant: the variant of the model.
        width: number of hidden units of trunk and head.
        seed: seed of weights and batches.
    """

    subject: Subject
    shape: Shape
    variant: Variant
    width: int
    seed: int


@dataclass(frozen=True)
class Trained:
    """A trained model and its scores.

    Attributes:
        model: the predictor; None if only its scores were kept.
        nll: (scored,) NLL in nats per frame, keyed by evaluated split.
        knocked_out: the same without the output of the memory; empty for a model without a memory.
        openness: (scored,) openness of the gate, keyed by split; only for `engram`.
        under_noise: (scored,) NLL on `test` with keys of frames with noise, keyed by its standard
            deviation as text; only where it was asked for.
    """

    model: Predictor | None
    nll: dict[str, np.ndarray]
    knocked_out: dict[str, np.ndarray]
    openness: dict[str, np.ndarray]
    under_noise: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def network(self) -> Predictor:
        """The predictor of a training of which more than the scores was kept.

        Raises:
            TypeError: only they were.
        """
        if self.model is None:
            raise TypeError("of this training only the scores were kept")
        return self.model


def train(job: Job) -> Trained:
    """Train, and score the evaluated splits."""
    model, _, keys = fit_job(job)
    with on_device(model, job.shape.compute):
        return score(job, model, keys)


def fit_job(job: Job) -> tuple[Predictor, float, np.ndarray | None]:
    """Train on the split train, and keep the best epoch on validation.

    Returns:
        The model, its validation loss in nats per frame, and the (frames,) keys that it was trained
        with in place of the subject's own; None for these.
    """
    subject, settings = job.subject, job.shape.settings
    keys = shuffled(subject, job.seed) if job.variant == "shuffled_keys" else None
    noisy = subject.noisy if job.variant == "engram" else None
    learned = subject.batches("train", keys if noisy is None else noisy)
    validation = subject.batches("validation", keys)
    model = build(job.shape, job.variant, job.width, job.seed)
    generator = torch.Generator().manual_seed(job.seed)
    torch.manual_seed(zlib.crc32(f"{job.seed} {subject.name} dropout".encode()))
    optimizers = partial(make_optimizers, table_lr=settings.table_lr)
    compute = job.shape.compute
    training = TrainingParams(settings.lr, settings.epochs, compute=uncompiled(compute))
    with diverging_named(f"{subject.name}, {job.variant}, seed {job.seed}"):
        loss = fit(model, learned, validation, training, generator, optimizers)
    return model, loss, keys


def score(job: Job, model: Predictor, keys: np.ndarray | None) -> Trained:
    """Score the evaluated splits with a trained model, on the device that it is on.

    Args:
        job: the training.
        model: the trained model.
        keys: (frames,) keys to use instead of the subject's own; None for these.
    """
    subject = job.subject
    scores: dict[str, np.ndarray] = {}
    knocked_out: dict[str, np.ndarray] = {}
    openness: dict[str, np.ndarray] = {}
    for split in [name for name in EVALUATED_SPLITS if name in subject.data.splits]:
        batches = subject.batches(split, keys)
        scores[split] = losses(model, batches).to(CPU).numpy()
        if job.variant in WITH_MEMORY:
            trunk = trunk_of(model)
            if job.variant == "engram":
                openness[split] = gate(trunk, batches)
            trunk.knocked_out = True
            knocked_out[split] = losses(model, batches).to(CPU).numpy()
            trunk.knocked_out = False
    return Trained(model, scores, knocked_out, openness)


@torch.no_grad()
def gate(trunk: KeyedTrunk, batches: list[Batch]) -> np.ndarray:
    """Give the (scored,) openness of the gate for all batches."""
    found = [trunk.openness(to_device_of(trunk, batch)) for batch in batches]
    return torch.cat(found).to(CPU).numpy()


def shuffled(subject: Subject, seed: int) -> np.ndarray:
    """Give the (frames,) keys in another order within each split, so that addresses are wrong.

    Keys of gated frames stay in place.
    """
    random = np.random.default_rng(seed)
    values = subject.keys.values.copy()
    for split in np.unique(subject.data.splits):
        places = np.flatnonzero(in_split(subject.data, split) & ~subject.data.gated.numpy())
        values[places] = values[random.permutation(places)]
    return values


def noise_keys(data: Sequences, keys: Keys, scale: float, seed: int) -> np.ndarray:
    """Give the keys of frames with Gaussian noise added.

    Args:
        data: the clips.
        keys: the keys, with the map from frames to keys. Without that map the keys do not change.
        scale: standard deviation of the noise, in the unit of the whitened frames.
        seed: seed of the noise.

    Returns:
        (frames,) keys.
    """
    if keys.assign is None:
        return keys.values
    noise = torch.randn(data.frames.shape, generator=torch.Generator().manual_seed(seed))
    return keys.assign((data.frames + scale * noise).numpy())
