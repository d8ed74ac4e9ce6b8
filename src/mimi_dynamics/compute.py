"""Where a model is trained: on a processor or a GPU, by one process or by several at once.

Processes that `torchrun` started share every batch: each takes some of its clips, and
DistributedDataParallel (Li et al. 2020, arXiv 2006.15704) adds up their gradients, weighted so that
a step is that of one process on the whole batch, but for rounding and for what dropout draws.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from mimi_dynamics.errors import InputError
from mimi_dynamics.parallel import run_parallel
from mimi_dynamics.params import ComputeParams
from mimi_dynamics.sequences import Batch

Job = TypeVar("Job")
Result = TypeVar("Result")


def launched() -> int:
    """How many processes `torchrun` started for this work; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def processes() -> int:
    """How many processes share each batch: 1 outside of `joined`."""
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
def joined(compute: ComputeParams) -> Iterator[None]:
    """Within, processes that `torchrun` started train together; alone, nothing changes.

    Raises:
        InputError: the device asked for is not there.
    """
    device = device_of(compute)
    if launched() == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def placed(model: nn.Module, compute: ComputeParams) -> Iterator[None]:
    """Within, the model is on its device; after that on the processor, as the pipeline wants it."""
    model.to(device_of(compute))
    try:
        yield
    finally:
        model.to("cpu")


def to_device_of(model: nn.Module, batch: Batch) -> Batch:
    """The batch where the model is."""
    device = next(model.parameters()).device
    if device.type == "cpu":
        return batch
    return Batch(*(tensor.to(device, non_blocking=True) for tensor in batch))


class BatchLoss:
    """The mean loss of a batch, computed by as many processes as there are.

    Args:
        model: maps a batch to the (scored,) losses of its targets; placed on its device. With
            several processes, one loss for each entry of `batch.frame`.
        compute: number type, and whether to compile.
    """

    def __init__(self, model: nn.Module, compute: ComputeParams) -> None:
        self.model, self.forward, self.processes = model, model, processes()
        self.autocast = partial(
            torch.autocast,
            device_of(compute).type,
            torch.bfloat16,
            enabled=compute.dtype == "bfloat16",
        )
        if self.processes > 1:
            if dist.get_rank():  # else all would drop the same features, each of its own clips
                torch.manual_seed(torch.initial_seed() + dist.get_rank())
            # What is not trained is the same everywhere from the start, and stays so.
            self.forward = DistributedDataParallel(model, broadcast_buffers=False)
        if compute.compile:
            self.forward = torch.compile(self.forward, dynamic=True)

    def __call__(self, batch: Batch) -> Tensor:
        """() to go backward from: gradients are then those of the mean loss of the batch."""
        if self.processes == 1:
            return self._losses(batch).mean()
        share, counts = self._share(batch)
        # Gradients are averaged over processes, whose shares are not of the same size.
        return self._losses(share).sum() * (counts * self.processes / len(batch.frame))

    def _losses(self, batch: Batch) -> Tensor:
        with self.autocast():
            return self.forward(to_device_of(self.model, batch))

    def of_batch(self, loss: Tensor) -> Tensor:
        """() mean loss of the whole batch, the same number in every process."""
        return average(loss.detach()) if self.processes > 1 else loss

    def _share(self, batch: Batch) -> tuple[Batch, bool]:
        """Every so-many-th clip, for they lie in order of their length, and whether they count.

        Where there are fewer clips than processes, one that is left without takes the first clip,
        for heads need a target, and all must take part in a step.
        """
        mine = torch.arange(len(batch.scored)) % self.processes == dist.get_rank()
        counts = bool(mine.any())
        mine[0] |= not counts
        frame = batch.frame[mine[batch.scored.nonzero()[:, 0]]]
        return Batch(batch.context[mine], batch.target[mine], batch.scored[mine], frame), counts


def average(value: Tensor) -> Tensor:
    """Mean of a tensor over processes."""
    total = value.clone()
    dist.all_reduce(total)
    return total / processes()


def run_fits(
    work: Callable[[Job], Result], jobs: list[Job], description: str, compute: ComputeParams
) -> list[Result]:
    """Run independent trainings: side by side on the cores, or one after the other.

    One after the other where they share a GPU, or where processes share each of them.
    """
    if compute.device == "cpu" and processes() == 1:
        return run_parallel(work, jobs, description)
    hidden = None if is_first() else True
    return [work(job) for job in tqdm(jobs, description, unit="job", disable=hidden)]
