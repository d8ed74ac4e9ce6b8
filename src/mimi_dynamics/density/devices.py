"""Where a model is trained: on a processor or a GPU, by one process or by several at once.

Processes that `torchrun` started share every batch: each takes some of its clips, and
DistributedDataParallel (Li et al. 2020, arXiv 2006.15704) adds up their gradients, weighted so that
a step is that of one process on the whole batch, but for rounding and for what dropout draws.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.distributed import (
    all_reduce_mean,
    device_of,
    is_main_process,
    world_size,
)
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.pipeline.params import ComputeParams

Result = TypeVar("Result")


@contextmanager
def on_device(model: nn.Module, compute: ComputeParams) -> Iterator[None]:
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
        self.model, self.forward, self.processes = model, model, world_size()
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

    def reduced(self, loss: Tensor) -> Tensor:
        """() mean loss of the whole batch, the same number in every process."""
        return all_reduce_mean(loss.detach()) if self.processes > 1 else loss

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


def run_fits(
    jobs: Sequence[Callable[[], Result]], description: str, compute: ComputeParams
) -> list[Result]:
    """Run independent trainings: side by side on the cores, or one after the other.

    One after the other where they share a GPU, or where processes share each of them.
    """
    if compute.device == "cpu" and world_size() == 1:
        return run_parallel(jobs, description)
    hidden = None if is_main_process() else True
    return [job() for job in tqdm(jobs, description, unit="job", disable=hidden)]
