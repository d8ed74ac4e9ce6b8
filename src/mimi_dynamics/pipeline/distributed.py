"""Training in several processes that `torchrun` started: their number, and averages over them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mimi_dynamics.pipeline.devices import device_of
from mimi_dynamics.pipeline.params import ComputeParams

Result = TypeVar("Result")


def requested_world_size() -> int:
    """Give the number of processes that `torchrun` started for this work, or 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Tell whether this is the first process, which alone writes files."""
    return int(os.environ.get("RANK", "0")) == 0


def world_size() -> int:
    """Give the number of processes that share each batch, which is 1 outside `process_group`."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group(compute: ComputeParams) -> Iterator[None]:
    """Let the processes that `torchrun` started train together inside the `with` block.

    With a single process, nothing changes.

    Raises:
        InputError: this machine does not have the device that `compute` asks for.
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


def rank() -> int:
    """Give the number of this process among those that share each batch, the first being 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def main_process_first(work: Callable[[], Result]) -> Result:
    """Do work in the first process, then in the others, which find the files that it wrote."""
    if rank() > 0:
        dist.barrier()
    result = work()
    if rank() == 0 and world_size() > 1:
        dist.barrier()
    return result


def as_main_process(choice: str) -> str:
    """Give what the first process chose, as rounding may differ between the others and it."""
    if world_size() == 1:
        return choice
    choices = [choice]
    dist.broadcast_object_list(choices)
    return choices[0]


def all_reduce_mean(value: Tensor) -> Tensor:
    """Give the mean of a tensor over all processes, with the shape of `value`."""
    total = value.clone()
    dist.all_reduce(total)
    return total / world_size()
