"""Training the contenders: CALM, and the dynamics of z_dyn (with its factorisation, if asked)."""

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mimi_dynamics.calm.flops import epoch_flops
from mimi_dynamics.calm.generation import Generator
from mimi_dynamics.calm.model import (
    CalmShape,
    CalmTraining,
    Course,
    make_calm,
    matched,
    moments,
    parameters_of,
)
from mimi_dynamics.params import Params, RssmParams
from mimi_dynamics.predictor import make_conditional, make_marginal
from mimi_dynamics.rssm.model import Objective, Rssm, RssmTraining
from mimi_dynamics.rssm.training import RssmJob, encode_states, train_rssm
from mimi_dynamics.sequences import Batch, Sequences, make_batches
from mimi_dynamics.states import make_candidate
from mimi_dynamics.training import TrainingParams, fit
from mimi_dynamics.var import fit_var

HEAD_SETTINGS = ("adaptive_weight", "tangent_normalisation", "tangent_warmup", "time_proposal")


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
        """After an epoch; about the square roots of two apart, the last epoch always."""
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
        parameters: about how many it shall have.
        seed: of weights, order of batches and noise.
        changes: settings of the section `calm` that are others here.
    """

    data: Sequences
    params: Params
    parameters: int
    seed: int
    changes: dict[str, Any] = field(default_factory=dict)


def calm_shape(job: CalmJob) -> CalmShape:
    """As settings and number of parameters want it."""
    settings = job.params.calm.model_copy(update=job.changes)
    head = {name: getattr(settings, name) for name in HEAD_SETTINGS}
    head |= {"kind": settings.head, "depth": settings.head_depth}
    head |= {"batch": settings.head_batch, "steps": settings.sampling_steps}
    shape = CalmShape(
        dim=job.data.dim,
        width=0,
        layers=settings.layers,
        context=settings.context_frames,
        short_frames=settings.short_frames,
        noise_injection=settings.noise_injection,
        dropout=settings.dropout,
        head=head,
    )
    return matched(shape, job.parameters)


def train_calm(job: CalmJob) -> Trained:
    """Train on train, keep what validation likes best."""
    seed = seed_of(job.seed, "calm")
    torch.manual_seed(seed)
    settings = job.params.calm.model_copy(update=job.changes)
    shape = calm_shape(job)
    train, validation = batches_of(job.data, job.params, settings.batch_frames)
    epochs = enough_epochs(settings.epochs, len(train), job.params)
    training = CalmTraining(make_calm(shape, *moments(job.data)), epochs * len(train))
    recorder = Recorder(epochs, epoch_flops(training, train))
    generator = torch.Generator().manual_seed(seed)
    fit(
        training,
        train,
        validation,
        TrainingParams(settings.lr, epochs),
        generator,
        after_epoch=recorder,
    )
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
class OursJob:
    """The dynamics of z_dyn to be trained.

    Attributes:
        data: the frames x of every split.
        params: all settings.
        state_dim: coordinates of z_dyn.
        budget: nats per frame of z_rec.
        seed: of weights, order of batches and draws.
        rssm: the factorisation; None to train one with the same seed.
        changes: settings of the section `rssm` that are others here.
        width: hidden units of the dynamics; None for that of the settings.
    """

    data: Sequences
    params: Params
    state_dim: int
    budget: float
    seed: int
    rssm: Rssm | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    width: int | None = None


def train_ours(job: OursJob) -> Trained:
    """p(z_dyn,t+1 | z_dyn,≤t) on the states of a factorisation that is at hand or trained first."""
    settings = job.params.rssm.model_copy(update=job.changes)
    rssm = job.rssm or train_rssm(rssm_job(job, settings)).model
    cost = rssm_cost(job, settings, rssm)
    states = encode_states(rssm, job.data)
    known = make_candidate("ours", job.data, states, rssm.shape.state_stride, job.seed).updates
    width = job.width or job.params.calm.dynamics_width
    trained = train_density(known, job.params, width, seed_of(job.seed, "ours"), cost)
    generator = replace(trained.generator, render=rssm)
    return replace(
        trained, generator=generator, parameters=trained.parameters + parameters_of(rssm)
    )


@dataclass(frozen=True)
class PredictorJob:
    """The plain predictor of x, to be trained.

    Attributes:
        data: the frames x of every split.
        params: all settings.
        width: hidden units.
        seed: of weights and order of batches.
    """

    data: Sequences
    params: Params
    width: int
    seed: int


def train_predictor(job: PredictorJob) -> Trained:
    """p(x_t+1 | x_≤t)."""
    seed = seed_of(job.seed, "predictor")
    return train_density(job.data, job.params, job.width, seed, Cost(0.0, 0, 0))


@dataclass(frozen=True)
class Cost:
    """Of a training.

    Attributes:
        flops: operations of matrix products.
        passes: over train.
        steps: of the optimizer.
    """

    flops: float
    passes: int
    steps: int


def train_density(known: Sequences, params: Params, width: int, seed: int, before: Cost) -> Trained:
    """By the estimator of `predict`: first without the past, then with it.

    Args:
        known: what the density is of.
        params: all settings.
        width: hidden units.
        seed: of weights and order of batches.
        before: what was spent already.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    predict = params.predict
    train, validation = batches_of(known, params, predict.batch_frames)
    pretrain, epochs = (
        enough_epochs(number, len(train), params)
        for number in (predict.pretrain_epochs, predict.epochs)
    )
    gaussian = fit_var(train, validation, 0)
    marginal = make_marginal(gaussian, params.head, width, predict.components)
    flops = before.flops + pretrain * epoch_flops(marginal, train)
    flat = TrainingParams(predict.lr, pretrain, anneal=False)
    fit(marginal, train, validation, flat, generator)
    var = fit_var(train, validation, predict.var_order)
    model = make_conditional(marginal, var, width, predict.dropout)
    recorder = Recorder(epochs, epoch_flops(model, train), flops)
    fit(
        model,
        train,
        validation,
        TrainingParams(predict.lr, epochs),
        generator,
        after_epoch=recorder,
    )
    return Trained(
        generator=Generator(model, known),
        parameters=parameters_of(model),
        flops=flops + epochs * recorder.epoch_flops,
        passes=before.passes + pretrain + epochs,
        steps=before.steps + (pretrain + epochs) * len(train),
        checkpoints=recorder.checkpoints,
    )


def rssm_job(job: OursJob, settings: RssmParams) -> RssmJob:
    """The factorisation of the same data with the same seed."""
    steps = job.params.predict.min_steps
    return RssmJob(job.data, job.state_dim, job.budget, settings, steps, job.seed)


def rssm_cost(job: OursJob, settings: RssmParams, rssm: Rssm) -> Cost:
    """What training the factorisation takes, at most: 1 % more than with shorter first rollouts."""
    train = make_batches(job.data.select("train"), 1, 0, settings.batch_frames)
    epochs = settings.epochs * max(
        1, -(-job.params.predict.min_steps // (settings.epochs * len(train)))
    )
    objective = Objective(
        budget=job.budget,
        dynamics_weight=settings.dynamics_weight,
        prior_share=settings.prior_share,
        rollout_weight=settings.rollout_weight,
        rollout_updates=settings.rollout_updates,
        steps=1,
    )
    training = RssmTraining(rssm, objective)
    training.course.note(kl=0.0, multiplier=1.0)  # past the curriculum: rollouts of full length
    return Cost(epochs * epoch_flops(training, train), epochs, epochs * len(train))


def batches_of(
    data: Sequences, params: Params, batch_frames: int
) -> tuple[list[Batch], list[Batch]]:
    """Train and validation, one frame ahead, with the targets of `predict`."""
    warmup = params.predict.warmup_frames
    return tuple(
        make_batches(data.select(split), 1, warmup, batch_frames)
        for split in ("train", "validation")
    )


def enough_epochs(epochs: int, batches: int, params: Params) -> int:
    """Multiplied where batches are few, by what the predictor needs for its `min_steps`.

    By the same for all: what has as many epochs in the settings makes as many passes.
    """
    predict = params.predict
    return epochs * max(1, -(-predict.min_steps // (predict.epochs * batches)))


def seed_of(seed: int, name: str) -> int:
    """Of one training."""
    return zlib.crc32(f"{seed} {name}".encode())
