"""Training of one `Rssm` for one budget, and its states of every clip."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.devices import on_device, to_device_of, uncompiled
from mimi_dynamics.density.training import TrainingParams, fit, repeats_for
from mimi_dynamics.latents.sequences import Sequences, make_batches
from mimi_dynamics.latents.states import update_index
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, RssmParams, StateKind
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors
from mimi_dynamics.studies.rssm.ahead import Contrast, Likelihood
from mimi_dynamics.studies.rssm.model import Rssm, RssmShape, TwoSpeedRssm
from mimi_dynamics.studies.rssm.objective import Course, RssmTraining
from mimi_dynamics.studies.rssm.recursive import RecursiveRssm, RecursiveShape, RecursiveTraining

CLIP_BATCH = 8192  # number of padded frames to encode together

StateModel = Rssm | RecursiveRssm
AHEAD: dict[StateKind, type[Likelihood | Contrast]] = {"leads": Likelihood, "contrast": Contrast}


@dataclass(frozen=True)
class RssmJob:
    """The training of one model of the sweep.

    Attributes:
        data: the frames x of every split.
        state_dim: number of coordinates of z_dyn.
        budget: budget of z_rec in nats per frame.
        params: the section `rssm`.
        min_steps: least number of training steps; epochs are multiplied to reach it.
        seed: seed of weights, order of batches and draws.
        kind: how the state comes about: `filter` of the frames; the same with `leads`, which tells
            the likelihood of x 1, 2 and 4 frames ahead, or by `contrast` finds it among others; the
            same at `two_speeds`, one half held for 4 frames; or `recursive`, driven by z_rec alone.
        compute: where to train, and with which number type.
    """

    data: Sequences
    state_dim: int
    budget: float
    params: RssmParams
    min_steps: int
    seed: int
    compute: ComputeParams = PLAIN
    kind: StateKind = "filter"

    @property
    def name(self) -> str:
        """The name of the model in metrics, which also seeds its training."""
        kind = "" if self.kind == "filter" else f"{self.kind}_"
        return f"{kind}dim{self.state_dim}_budget{self.budget:g}".replace(".", "p")


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: the model.
        course: how its budget was met, step by step.
    """

    model: StateModel
    course: Course

    @property
    def filter(self) -> Rssm:
        """Give the model of a state that is a function of the frames.

        Raises:
            TypeError: it is another kind of state.
        """
        if not isinstance(self.model, Rssm):
            raise TypeError(f"{type(self.model).__name__}: its state is no function of the frames")
        return self.model


def train_rssm(job: RssmJob) -> Trained:
    """Train a model on the split train, and keep the epoch that is best on validation.

    Raises:
        InputError: if the state has more coordinates than the frames.
    """
    params = job.params
    if job.state_dim > job.data.dim:
        raise InputError(
            f"rssm.state_dims has {job.state_dim}: must be at most latents.dim = {job.data.dim}"
        )
    seed = zlib.crc32(f"{job.seed} {job.name}".encode())
    torch.manual_seed(seed)
    train, validation = (
        make_batches(job.data.select(split), 0, 0, params.batch_frames)
        for split in ("train", "validation")
    )
    epochs = params.epochs * repeats_for(job.min_steps, params.epochs, len(train))
    training = make_training(job, epochs * len(train))
    generator = torch.Generator().manual_seed(seed)
    of = TrainingParams(params.lr, epochs, compute=uncompiled(job.compute))
    fit(training, train, validation, of, generator)
    with on_device(training, job.compute):
        settle(training.model, job.data)
    return Trained(training.model, training.course)


def make_training(job: RssmJob, steps: int) -> RssmTraining | RecursiveTraining:
    """Give a new model with its loss, as the attribute `model` of it.

    Args:
        job: the training.
        steps: number of steps of the whole training.
    """
    params, dim = job.params, job.data.dim
    if job.kind == "recursive":
        own = RecursiveShape(dim, job.state_dim, params.rec_dim, params.width)
        return RecursiveTraining(RecursiveRssm(own), params, job.budget, steps)
    shape = RssmShape(
        dim=dim,
        state_dim=job.state_dim,
        state_stride=params.state_stride,
        rec_dim=params.rec_dim,
        width=params.width,
        head=params.head,
        components=params.components,
    )
    model = TwoSpeedRssm(shape) if job.kind == "two_speeds" else Rssm(shape)
    made = AHEAD.get(job.kind)
    ahead = None if made is None else made(job.state_dim, dim, params.width)
    return RssmTraining(model, params, job.budget, steps, ahead)


@torch.no_grad()
def settle(model: StateModel, data: Sequences) -> None:
    """Set the whitening to that of all updates of train, and put the model in evaluation mode.

    As in training, gated frames do not count.
    """
    train = model.known(data).select("train")
    encoded = each_clip(model.encoder, train)
    updates, _ = update_index(train.lengths, model.shape.state_stride)
    heard = updates[~train.gated.numpy()[updates]]
    model.whitening.settle(encoded[torch.from_numpy(heard).to(encoded.device)])
    model.eval()


@torch.no_grad()
def encode_states(model: StateModel, data: Sequences, compute: ComputeParams = PLAIN) -> Tensor:
    """Give the (frames, state_dim) whitened state at every frame, without holding and noise.

    Args:
        model: the trained model.
        data: the frames x.
        compute: where to encode; the states are on the CPU.
    """
    with on_device(model, compute):
        encoded = each_clip(model.encoder, model.known(data))
        return model.whitening(encoded[None], None)[0].to(CPU)


@torch.no_grad()
def conditions(model: StateModel, data: Sequences, held: Sequences) -> Sequences:
    """Give the state at every frame given which its innovation is told.

    That is the state held at the frame, with its noise; of a recursive one, the state before it.

    Args:
        model: the trained model, which computes on the device that it is on.
        data: the frames x.
        held: the noisy whitened states of all frames.
    """
    if isinstance(model, Rssm):
        return held
    after = each_clip(model.encoder, model.known(data)).to(CPU)
    before = after.roll(1, 0)
    before[torch.from_numpy(np.cumsum(data.lengths) - data.lengths)] = 0
    return replace(data, frames=before)


def each_clip(module: torch.nn.Module, data: Sequences) -> Tensor:
    """Apply a causal module to every clip from its start, and give (frames, features).

    They are on the device of the module.
    """
    # Nothing is a target here, so that gated frames are not left out.
    every = replace(data, gated=torch.zeros_like(data.gated))
    pieces, order = [], []
    for padded in make_batches(every, 0, 0, CLIP_BATCH):
        batch = to_device_of(module, padded)
        pieces.append(module(batch.context)[batch.scored])
        order.append(batch.frame)
    values = torch.cat(pieces)
    return torch.empty_like(values).index_copy_(0, torch.cat(order), values)


def save_rssm(model: Rssm, path: Path) -> None:
    """Write the weights and the settings that are needed to build the model again.

    Raises:
        TypeError: it is of another kind, which `load_rssm` would not know.
    """
    if type(model) is not Rssm:
        raise TypeError(f"{type(model).__name__}: only a plain Rssm is saved")
    write_tensors(path, model.state_dict(), vars(model.shape))


def load_rssm(path: Path) -> Rssm:
    """Read what `save_rssm` wrote, ready to encode and to generate."""
    tensors, info = read_tensors(path)
    model = Rssm(RssmShape(**info))
    model.load_state_dict(tensors)
    return model.eval()
