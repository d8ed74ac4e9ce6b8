"""Processes that `torchrun` started: how many there are, who writes, and their means."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import ComputeParams


def requested_world_size() -> int:
    """How many processes `torchrun` started for this work; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def world_size() -> int:
    """How many processes share each batch: 1 outside of `process_group`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def device_of(compute: ComputeParams) -> torch.device:
    """The device that this process trains on.

    Raises:
        InputError: it is not there.
    """
    if compute.device == "cpu":
        return torch.device("cpu")
    index = int(os.environ.get("LOCAL_RANK", "0"))
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= found:
        raise InputError(
            f"compute.device = 'cuda': CUDA devices here: {found}, needed: at least {index + 1}, "
            "one for each process; must be 'cpu' where there is none"
        )
    return torch.device("cuda", index)


@contextmanager
def process_group(compute: ComputeParams) -> Iterator[None]:
    """Within, processes that `torchrun` started train together; alone, nothing changes.

    Raises:
        InputError: the device asked for is not there.
    """
    device = device_of(compute)
    if requested_world_size() == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def all_reduce_mean(value: Tensor) -> Tensor:
    """Mean of a tensor over processes."""
    total = value.clone()
    dist.all_reduce(total)
    return total / world_size()
