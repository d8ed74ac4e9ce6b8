"""Training of what CALM is compared with: our factorised dynamics, and densities of x."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from mimi_dynamics.density.predictor import make_conditional, make_marginal
from mimi_dynamics.density.training import TrainingParams, diverging_named, fit, repeats_for
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.latents.sequences import Sequences, make_batches
from mimi_dynamics.latents.states import make_candidate
from mimi_dynamics.pipeline.params import Params, RssmParams
from mimi_dynamics.studies.calm.flops import epoch_flops
from mimi_dynamics.studies.calm.model import parameters_of
from mimi_dynamics.studies.calm.training import (
    Cost,
    Recorder,
    Trained,
    batches_of,
    enough_epochs,
    seed_of,
)
from mimi_dynamics.studies.rssm.model import Rssm
from mimi_dynamics.studies.rssm.objective import RssmTraining
from mimi_dynamics.studies.rssm.training import RssmJob, encode_states, train_rssm


@dataclass(frozen=True)
class OursJob:
    """A training of the dynamics of z_dyn.

    Attributes:
        data: the frames x of every split.
        params: all settings.
        state_dim: number of coordinates of z_dyn.
        budget: budget of z_rec in nats per frame.
        seed: seed of weights, order of batches and draws.
        rssm: the factorisation; None to train one with the same seed.
        changes: settings of the section `rssm` to change.
        width: number of hidden units of the dynamics; None for the width in the settings.
        operations: of all training, with that of the factorisation, to the nearest pass of the
            dynamics; None for the epochs in the settings.
    """

    data: Sequences
    params: Params
    state_dim: int
    budget: float
    seed: int
    rssm: Rssm | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    width: int | None = None
    operations: float | None = None


def train_ours(job: OursJob) -> Trained:
    """Train p(z_dyn,t+1 | z_dyn,≤t) on states of the factorisation.

    Without a factorisation in the job, one is trained first.
    """
    settings = job.params.rssm.model_copy(update=job.changes)
    with diverging_named(f"ours, factorisation, seed {job.seed}"):
        rssm = job.rssm or train_rssm(rssm_job(job, settings)).filter
    cost = rssm_cost(job, settings, rssm)
    known = known_states(rssm, job)
    width = job.width or job.params.calm.dynamics_width
    with diverging_named(f"ours, dynamics, seed {job.seed}"):
        seed = seed_of(job.seed, "ours")
        trained = train_density(known, job.params, width, seed, cost, job.operations)
    generator = replace(trained.generator, render=rssm)
    return replace(
        trained, generator=generator, parameters=trained.parameters + parameters_of(rssm)
    )


def known_states(rssm: Rssm, job: OursJob) -> Sequences:
    """Give the states z_dyn of all clips, which the dynamics of the job are about."""
    states = encode_states(rssm, job.data, job.params.compute)
    return make_candidate("ours", job.data, states, rssm.shape.state_stride, job.seed).updates


@dataclass(frozen=True)
class PredictorJob:
    """A training of the plain predictor of x.

    Attributes:
        data: the frames x of every split.
        params: all settings.
        width: number of hidden units.
        seed: seed of weights and order of batches.
    """

    data: Sequences
    params: Params
    width: int
    seed: int


def train_predictor(job: PredictorJob) -> Trained:
    """Train the density p(x_t+1 | x_≤t)."""
    seed = seed_of(job.seed, "predictor")
    with diverging_named(f"predictor, seed {job.seed}"):
        return train_density(job.data, job.params, job.width, seed, Cost(0.0, 0, 0))


def train_density(
    known: Sequences,
    params: Params,
    width: int,
    seed: int,
    before: Cost,
    operations: float | None = None,
) -> Trained:
    """Train a density as in `predict`: first without the past, then with it.

    Args:
        known: the sequences to model.
        params: all settings.
        width: number of hidden units.
        seed: seed of weights and order of batches.
        before: the cost of what was trained before.
        operations: of all training, to the nearest pass; None for the epochs in the settings.
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
    flat = TrainingParams(predict.lr, pretrain, anneal=False, compute=params.compute)
    fit(marginal, train, validation, flat, generator)
    var = fit_var(train, validation, predict.var_order)
    model = make_conditional(marginal, var, width, predict.dropout)
    each = epoch_flops(model, train)
    if operations is not None:
        epochs = max(1, round((operations - flops) / each))
    recorder = Recorder(epochs, each, flops)
    fit(
        model,
        train,
        validation,
        TrainingParams(predict.lr, epochs, compute=params.compute),
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
    """Give the training of the factorisation on the same data with the same seed."""
    steps, compute = job.params.predict.min_steps, job.params.compute
    return RssmJob(job.data, job.state_dim, job.budget, settings, steps, job.seed, compute)


def rssm_cost(job: OursJob, settings: RssmParams, rssm: Rssm) -> Cost:
    """Compute an upper bound of the cost of the factorisation.

    It is 1 % above the cost with the shorter rollouts at the beginning.
    """
    train = make_batches(job.data.select("train"), 0, 0, settings.batch_frames)
    min_steps = job.params.predict.min_steps
    epochs = settings.epochs * repeats_for(min_steps, settings.epochs, len(train))
    training = RssmTraining(rssm, settings, job.budget, steps=1)
    # One step done of one: the curriculum is over, and rollouts have their full length.
    training.course.note(kl=0.0, multiplier=1.0)
    return Cost(epochs * epoch_flops(training, train), epochs, epochs * len(train))
