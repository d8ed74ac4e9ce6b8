"""Training of one `Rssm` for one budget, and its states of every clip."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mimi_dynamics.density.devices import on_device, to_device_of, uncompiled
from mimi_dynamics.density.training import TrainingParams, fit, repeats_for
from mimi_dynamics.latents.sequences import Sequences, make_batches
from mimi_dynamics.latents.states import update_index
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, RssmParams
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors
from mimi_dynamics.studies.rssm.model import Course, Rssm, RssmShape, RssmTraining

CLIP_BATCH = 8192  # number of padded frames to encode together


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
        compute: where to train, and with which number type.
    """

    data: Sequences
    state_dim: int
    budget: float
    params: RssmParams
    min_steps: int
    seed: int
    compute: ComputeParams = PLAIN

    @property
    def name(self) -> str:
        """The name of the model in metrics, which also seeds its training."""
        return f"dim{self.state_dim}_budget{self.budget:g}".replace(".", "p")


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: the model.
        course: how its budget was met, step by step.
    """

    model: Rssm
    course: Course


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
    shape = RssmShape(
        dim=job.data.dim,
        state_dim=job.state_dim,
        state_stride=params.state_stride,
        rec_dim=params.rec_dim,
        width=params.width,
        head=params.head,
        components=params.components,
    )
    training = RssmTraining(Rssm(shape), params, job.budget, epochs * len(train))
    generator = torch.Generator().manual_seed(seed)
    of = TrainingParams(params.lr, epochs, compute=uncompiled(job.compute))
    fit(training, train, validation, of, generator)
    with on_device(training, job.compute):
        settle(training.model, job.data)
    return Trained(training.model, training.course)


@torch.no_grad()
def settle(model: Rssm, data: Sequences) -> None:
    """Set the whitening to that of all updates of train, and put the model in evaluation mode.

    As in training, gated frames do not count.
    """
    train = data.select("train")
    encoded = each_clip(model.encoder, train)
    updates, _ = update_index(train.lengths, model.shape.state_stride)
    heard = updates[~train.gated.numpy()[updates]]
    model.whitening.settle(encoded[torch.from_numpy(heard).to(encoded.device)])
    model.eval()


@torch.no_grad()
def encode_states(model: Rssm, data: Sequences, compute: ComputeParams = PLAIN) -> Tensor:
    """Give the (frames, state_dim) whitened state at every frame, without holding and noise.

    Args:
        model: the trained model.
        data: the frames x.
        compute: where to encode; the states are on the CPU.
    """
    with on_device(model, compute):
        encoded = each_clip(model.encoder, data)
        return model.whitening(encoded[None], None)[0].to(CPU)


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
    """Write the weights and the settings that are needed to build the model again."""
    write_tensors(path, model.state_dict(), vars(model.shape))


def load_rssm(path: Path) -> Rssm:
    """Read what `save_rssm` wrote, ready to encode and to generate."""
    tensors, info = read_tensors(path)
    model = Rssm(RssmShape(**info))
    model.load_state_dict(tensors)
    return model.eval()
