"""Training of CALM, and the record of the training of every contender: checkpoints and costs."""

import zlib
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mimi_dynamics.density.devices import uncompiled
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
    """A model as it would be if training had stopped at this point.

    Attributes:
        epochs: number of passes over train so far, of this model alone.
        flops: operations of all training so far, including that of an `Rssm` if the model needs
            one.
        weights: the weights that are best on validation so far.
    """

    epochs: int
    flops: float
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Trained:
    """A trained contender.

    Attributes:
        generator: the generator with the weights that are best on validation.
        parameters: number of trained parameters, including those that only training needs.
        flops: operations of all its training.
        passes: number of passes over train in all its training.
        steps: number of steps of all its training.
        checkpoints: checkpoints on the way; the last one is the end of training.
        shape: shape of a CALM; None for others.
        course: course of the training of a CALM; None for others.
    """

    generator: Generator
    parameters: int
    flops: float
    passes: int
    steps: int
    checkpoints: list[Checkpoint]
    shape: CalmShape | None = None
    course: Course | None = None

    @property
    def calm_shape(self) -> CalmShape:
        """The shape of a CALM that was trained in this process.

        Raises:
            TypeError: the contender is another, or was read from disk.
        """
        if self.shape is None:
            raise TypeError("a contender without the shape of a CALM")
        return self.shape

    @property
    def calm_course(self) -> Course:
        """The course of the training of a CALM that was trained in this process.

        Raises:
            TypeError: the contender is another, or was read from disk.
        """
        if self.course is None:
            raise TypeError("a contender without the course of a CALM")
        return self.course


@dataclass
class Recorder:
    """A callback of `fit` that keeps checkpoints of some epochs.

    Attributes:
        epochs: number of epochs of the training.
        epoch_flops: operations of one pass.
        before: operations spent before this training.
        checkpoints: the checkpoints kept so far.
    """

    epochs: int
    epoch_flops: float
    before: float = 0.0
    checkpoints: list[Checkpoint] = field(default_factory=list)

    def __call__(self, epoch: int, weights: dict[str, Tensor]) -> None:
        """Keep this epoch if it is the last, or about √2 times the one kept before."""
        due = {round(2 ** (power / 2)) for power in range(64)} | {self.epochs}
        if epoch in due:
            flops = self.before + epoch * self.epoch_flops
            self.checkpoints.append(Checkpoint(epoch, flops, weights))


@dataclass(frozen=True)
class CalmJob:
    """A training of a CALM.

    Attributes:
        data: the frames x of every split.
        params: all settings.
        shape: the shape, whose width is ignored.
        parameters: approximate number of parameters, from which the width follows.
        seed: seed of weights, order of batches and noise.
        passes: number of passes over train; None for the epochs in the settings.
    """

    data: Sequences
    params: Params
    shape: CalmShape
    parameters: int
    seed: int
    passes: int | None = None


def train_calm(job: CalmJob) -> Trained:
    """Train on the split train, and keep the weights that are best on validation."""
    seed = seed_of(job.seed, "calm")
    torch.manual_seed(seed)
    settings = job.params.calm
    shape = matched(job.shape, job.parameters)
    train, validation = batches_of(job.data, job.params, settings.batch_frames)
    epochs = job.passes or enough_epochs(settings.epochs, len(train), job.params)
    training = CalmTraining(make_calm(shape, *moments(job.data)), epochs * len(train))
    recorder = Recorder(epochs, epoch_flops(training, train))
    generator = torch.Generator().manual_seed(seed)
    of = TrainingParams(settings.lr, epochs, compute=uncompiled(job.params.compute))
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
    """The cost of a training.

    Attributes:
        flops: operations of matrix products.
        passes: number of passes over train.
        steps: number of steps of the optimizer.
    """

    flops: float
    passes: int
    steps: int


def batches_of(
    data: Sequences, params: Params, batch_frames: int
) -> tuple[list[Batch], list[Batch]]:
    """Make batches of train and validation, one frame ahead, with the targets of `predict`."""
    warmup = params.predict.warmup_frames
    train, validation = (
        make_batches(data.select(split), 1, warmup, batch_frames)
        for split in ("train", "validation")
    )
    return train, validation


def enough_epochs(epochs: int, batches: int, params: Params) -> int:
    """Multiply epochs if there are few batches, so that the predictor reaches its `min_steps`.

    The factor is the same for all contenders: those with as many epochs in the settings make as
    many passes.

    Args:
        epochs: number of epochs in the settings.
        batches: number of training batches.
        params: all settings.
    """
    predict = params.predict
    return epochs * repeats_for(predict.min_steps, predict.epochs, batches)


def seed_of(seed: int, name: str) -> int:
    """Give the seed of one training, by its name."""
    return zlib.crc32(f"{seed} {name}".encode())
