"""The one place that decides on which device models work, and with which number type.

Models are built on the CPU, and so are all data. Whoever lets one train, score or draw on another
device moves it there for as long as that takes, with its inputs, and takes the results back.
Generators that a caller passes on stay on the CPU. Draws of torch's default generator are made
where the model is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import ComputeParams

CPU = torch.device("cpu")


def device_of(compute: ComputeParams) -> torch.device:
    """Give the device on which this process works.

    Raises:
        InputError: this machine does not have that device.
    """
    if compute.device == "cpu":
        return CPU
    index = int(os.environ.get("LOCAL_RANK", "0"))
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= devices:
        raise InputError(
            f"compute.device = 'cuda': CUDA devices here: {devices}, needed: at least {index + 1}, "
            "one for each process; must be 'cpu' where there is none"
        )
    return torch.device("cuda", index)


def device_at(model: nn.Module) -> torch.device:
    """Give the device on which the weights of a model are now; the CPU if it has none."""
    weights = chain(model.parameters(), model.buffers())
    return next((tensor.device for tensor in weights), CPU)


def products_in(compute: ComputeParams) -> torch.autocast:
    """Give a context in which products of matrices have the number type of `compute`."""
    half = compute.dtype == "bfloat16"
    return torch.autocast(device_of(compute).type, torch.bfloat16, enabled=half)


def products_in_float32(device: torch.device) -> torch.autocast:
    """Give a context in which products on a device are of float32, whatever holds around it."""
    return torch.autocast(device.type, enabled=False)


@contextmanager
def draws_of(seed: int) -> Iterator[None]:
    """Let draws of torch's default generators depend on `seed` alone inside the `with` block.

    Afterwards they go on as if nothing had been drawn, those of the GPU in use too.
    """
    gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        yield
