"""Models at work: on a CPU or a GPU, trained by one process or by several at once.

Processes that `torchrun` started share every batch: each process takes some of its clips, and
DistributedDataParallel (Li et al. 2020, arXiv 2006.15704) adds up the gradients. They are weighted
so that a step equals that of one process on the whole batch, except for rounding and for the
features that dropout happens to drop.
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
from mimi_dynamics.pipeline.devices import CPU, device_at, device_of, products_in
from mimi_dynamics.pipeline.distributed import all_reduce_mean, is_main_process, world_size
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.pipeline.params import ComputeParams

Result = TypeVar("Result")


@contextmanager
def on_device(model: nn.Module, compute: ComputeParams) -> Iterator[None]:
    """Keep the model on its device inside the `with` block, and move it back to the CPU afterwards.

    The rest of the pipeline expects models on the CPU.

    Args:
        model: the model to move.
        compute: which device to use.
    """
    model.to(device_of(compute))
    try:
        yield
    finally:
        model.to(CPU)


def uncompiled(compute: ComputeParams) -> ComputeParams:
    """Give the same settings without `torch.compile`.

    They are for losses that keep count in Python: it would compile them anew at every step.
    """
    return compute.model_copy(update={"compile": False})


def to_device_of(model: nn.Module, batch: Batch) -> Batch:
    """Move a batch to the device on which the model is."""
    device = device_at(model)
    if device == CPU:
        return batch
    return Batch(*(tensor.to(device, non_blocking=True) for tensor in batch))


class BatchLoss:
    """The mean loss of a batch, computed jointly by all processes of the training.

    Args:
        model: maps a batch to the (scored,) losses of its targets, and is already on its device.
            With several processes it must give one loss for each entry of `batch.frame`.
        compute: the number type, and whether to compile the model.
    """

    def __init__(self, model: nn.Module, compute: ComputeParams) -> None:
        self.model, self.processes = model, world_size()
        self.forward: Callable[[Batch], Tensor] = model
        self.autocast = partial(products_in, compute)
        if self.processes > 1:
            # With the same seed, dropout would drop the same features in every process.
            if dist.get_rank():
                torch.manual_seed(torch.initial_seed() + dist.get_rank())
            # Buffers are not trained and equal in all processes: there is nothing to broadcast.
            self.forward = DistributedDataParallel(model, broadcast_buffers=False)
        if compute.compile:
            self.forward = torch.compile(self.forward, dynamic=True)

    def __call__(self, batch: Batch) -> Tensor:
        """Compute the scalar loss on which to call `backward`.

        After `backward`, the gradients are those of the mean loss of the whole batch.
        """
        if self.processes == 1:
            return self._losses(batch).mean()
        share, counts = self._share(batch)
        # DistributedDataParallel averages gradients over processes, but their shares differ in
        # size, so each share is weighted by its number of targets.
        return self._losses(share).sum() * (counts * self.processes / len(batch.frame))

    def _losses(self, batch: Batch) -> Tensor:
        with self.autocast():
            return self.forward(to_device_of(self.model, batch))

    def reduced(self, loss: Tensor) -> Tensor:
        """Give the scalar mean loss of the whole batch, the same number in every process."""
        return all_reduce_mean(loss.detach()) if self.processes > 1 else loss

    def _share(self, batch: Batch) -> tuple[Batch, bool]:
        """Give the clips of this process, and whether they count in the loss.

        Clips lie in order of length, so each process takes every n-th clip, where n is the number
        of processes: the shares are then of similar length. If there are fewer clips than
        processes, a process without clips takes the first clip, which does not count: heads need at
        least one target, and all processes must take part in every step.
        """
        mine = torch.arange(len(batch.scored)) % self.processes == dist.get_rank()
        counts = bool(mine.any())
        mine[0] |= not counts
        frame = batch.frame[mine[batch.scored.nonzero()[:, 0]]]
        return Batch(batch.context[mine], batch.target[mine], batch.scored[mine], frame), counts


def run_fits(
    jobs: Sequence[Callable[[], Result]], description: str, compute: ComputeParams
) -> list[Result]:
    """Run independent work of models, in parallel on CPU cores or one after the other.

    It runs one after the other on a GPU, or if several processes share each training.

    Args:
        jobs: functions without arguments, such as one for each training.
        description: the label of the progress bar.
        compute: where models work.

    Returns:
        The result of each job, in the order of `jobs`.
    """
    if compute.device == "cpu" and world_size() == 1:
        return run_parallel(jobs, description)
    hidden = None if is_main_process() else True
    return [job() for job in tqdm(jobs, description, unit="job", disable=hidden)]
