"""Training CALM, and what is kept of the training of every contender: checkpoints and costs."""

import zlib
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mimi_dynamics.density.training import TrainingParams, diverging_named, fit, repeats_for
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.calm.flops import epoch_flops
from mimi_dynamics.studies.calm.model import (
    CalmShape,
    CalmTraining,
    Course,
    make_calm,
    matched,
    moments,
    parameters_of,
)


@dataclass(frozen=True)
class Checkpoint:
    """A model as it would be if training had stopped there.

    Attributes:
        epochs: passes over train so far, of this model alone.
        flops: of all training so far, that of an `Rssm` it needs included.
        weights: of the step that validation likes best so far.
    """

    epochs: int
    flops: float
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Trained:
    """A trained contender.

    Attributes:
        generator: with the weights that validation likes best.
        parameters: trained numbers, those that only training needs included.
        flops: of all its training.
        passes: over train, of all its training.
        steps: of all its training.
        checkpoints: on the way, the last one at the end.
        shape: of a CALM; None for others.
        course: of a CALM's training; None for others.
    """

    generator: Generator
    parameters: int
    flops: float
    passes: int
    steps: int
    checkpoints: list[Checkpoint]
    shape: CalmShape | None = None
    course: Course | None = None


@dataclass
class Recorder:
    """Keeps checkpoints of some epochs while `fit` is at work.

    Attributes:
        epochs: of the training.
        epoch_flops: of one pass.
        before: operations spent before.
        checkpoints: so far.
    """

    epochs: int
    epoch_flops: float
    before: float = 0.0
    checkpoints: list[Checkpoint] = field(default_factory=list)

    def __call__(self, epoch: int, weights: dict[str, Tensor]) -> None:
        """Keep this epoch if it is about √2 times the one kept before, or the last of all."""
        due = {round(2 ** (power / 2)) for power in range(64)} | {self.epochs}
        if epoch in due:
            flops = self.before + epoch * self.epoch_flops
            self.checkpoints.append(Checkpoint(epoch, flops, weights))


@dataclass(frozen=True)
class CalmJob:
    """A CALM to be trained.

    Attributes:
        data: the frames x of every split.
        params: all settings.
        shape: of any width.
        parameters: about how many it is to have; its width follows.
        seed: of weights, order of batches and noise.
    """

    data: Sequences
    params: Params
    shape: CalmShape
    parameters: int
    seed: int


def train_calm(job: CalmJob) -> Trained:
    """Train on train, keep what validation likes best."""
    seed = seed_of(job.seed, "calm")
    torch.manual_seed(seed)
    settings = job.params.calm
    shape = matched(job.shape, job.parameters)
    train, validation = batches_of(job.data, job.params, settings.batch_frames)
    epochs = enough_epochs(settings.epochs, len(train), job.params)
    training = CalmTraining(make_calm(shape, *moments(job.data)), epochs * len(train))
    recorder = Recorder(epochs, epoch_flops(training, train))
    generator = torch.Generator().manual_seed(seed)
    of = TrainingParams(settings.lr, epochs)
    with diverging_named(f"calm, seed {job.seed}"):
        fit(training, train, validation, of, generator, after_epoch=recorder)
    prefix = "model."
    return Trained(
        generator=Generator(training.model.eval(), job.data),
        parameters=parameters_of(training.model),
        flops=epochs * recorder.epoch_flops,
        passes=epochs,
        steps=epochs * len(train),
        checkpoints=[
            replace(c, weights={n.removeprefix(prefix): v for n, v in c.weights.items()})
            for c in recorder.checkpoints
        ],
        shape=shape,
        course=training.course,
    )


@dataclass(frozen=True)
class Cost:
    """What a training took.

    Attributes:
        flops: operations of matrix products.
        passes: over train.
        steps: of the optimizer.
    """

    flops: float
    passes: int
    steps: int


def batches_of(
    data: Sequences, params: Params, batch_frames: int
) -> tuple[list[Batch], list[Batch]]:
    """Make batches of train and validation, one frame ahead, with the targets of `predict`."""
    warmup = params.predict.warmup_frames
    return tuple(
        make_batches(data.select(split), 1, warmup, batch_frames)
        for split in ("train", "validation")
    )


def enough_epochs(epochs: int, batches: int, params: Params) -> int:
    """Multiply epochs where batches are few, by what the predictor needs for its `min_steps`.

    By the same for all: what has as many epochs in the settings makes as many passes.
    """
    predict = params.predict
    return epochs * repeats_for(predict.min_steps, predict.epochs, batches)


def seed_of(seed: int, name: str) -> int:
    """Give the seed of one training."""
    return zlib.crc32(f"{seed} {name}".encode())
