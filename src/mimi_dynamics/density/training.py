"""The training loop of all models: minimise the mean loss per frame, keep the best weights.

The best weights are those with the lowest loss on validation.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mimi_dynamics.density.devices import BatchLoss, on_device, to_device_of
from mimi_dynamics.latents.sequences import Batch, BatchSource, in_new_order
from mimi_dynamics.pipeline.devices import device_at
from mimi_dynamics.pipeline.distributed import all_reduce_mean, world_size
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams

WARMUP_SHARE = 0.05  # share of all steps in which the learning rate rises linearly from 0
GRADIENT_NORM = 1.0
MakeOptimizers = Callable[[nn.Module, float], list[torch.optim.Optimizer]]


@dataclass(frozen=True)
class TrainingParams:
    """How long and at what learning rate to train.

    Attributes:
        lr: peak learning rate of AdamW, after a short warm-up.
        epochs: number of passes over the training batches.
        anneal: whether the rate then falls to zero along a cosine, or stays constant so that
            training can go on later.
        compute: the device and the number type.
    """

    lr: float
    epochs: int
    anneal: bool = True
    compute: ComputeParams = PLAIN


class DivergedError(InputError):
    """Raised when the training loss is not finite."""


@contextmanager
def diverging_named(training: str) -> Iterator[None]:
    """Say which of several trainings diverged.

    Args:
        training: name of the training, with its seed.

    Raises:
        DivergedError: the original message, with the name before it.
    """
    try:
        yield
    except DivergedError as error:
        raise DivergedError(f"{training}: {error}") from error


def repeats_for(min_steps: int, epochs: int, batches: int) -> int:
    """Give the factor by which to multiply epochs to train for at least `min_steps` steps.

    A small corpus has few batches: in 12 steps, a model learns nothing of what the past tells.

    Args:
        min_steps: least number of training steps.
        epochs: number of epochs planned.
        batches: number of training batches.
    """
    return max(1, math.ceil(min_steps / (epochs * batches)))


def fit(
    model: nn.Module,
    train: list[Batch] | BatchSource,
    validation: list[Batch],
    params: TrainingParams,
    generator: torch.Generator,
    make_optimizers: MakeOptimizers | None = None,
    after_epoch: Callable[[int, dict[str, Tensor]], None] | None = None,
) -> float:
    """Train `model` in place, ending with the weights that have the lowest validation loss.

    Where processes are `joined`, they share every batch, and all end with the same weights.

    Args:
        model: maps a batch to the (scored,) losses of its targets, in nats per frame.
        train: training batches, visited in a new order every epoch.
        validation: batches that decide which weights to keep.
        params: see `TrainingParams`.
        generator: draws the order of the batches.
        make_optimizers: builds the optimizers from a model and a peak learning rate; None stands
            for AdamW of all parameters. Only gradients of the parameters of the first optimizer are
            clipped.
        after_epoch: called after every epoch with the number of finished epochs and the best
            weights so far, which it must not change.

    Returns:
        The lowest mean validation loss.

    Raises:
        DivergedError: naming learning rate, epoch and step, if a training loss is not finite.
        InputError: if the requested device is not there.
    """
    with on_device(model, params.compute):
        return _fit(model, train, validation, params, generator, make_optimizers, after_epoch)


def _fit(
    model: nn.Module,
    train: list[Batch] | BatchSource,
    validation: list[Batch],
    params: TrainingParams,
    generator: torch.Generator,
    make_optimizers: MakeOptimizers | None,
    after_epoch: Callable[[int, dict[str, Tensor]], None] | None,
) -> float:
    batch_loss = BatchLoss(model, params.compute)
    optimizers = (make_optimizers or adamw)(model, params.lr)
    clipped = [p for group in optimizers[0].param_groups for p in group["params"]]
    steps = params.epochs * len(train)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: _rate(step, steps, anneal=params.anneal)
        )
        for optimizer in optimizers
    ]
    best_loss, best_state = mean_loss(model, validation), _state(model)
    for epoch in range(params.epochs):
        model.train()
        for step, batch in enumerate(in_new_order(train, generator), epoch * len(train)):
            loss = batch_loss(batch)
            whole = batch_loss.reduced(loss)
            if not torch.isfinite(whole):
                raise DivergedError(
                    f"lr = {params.lr:g}: must be smaller, the training loss is {whole.item()} "
                    f"in epoch {epoch}, step {step} of {steps}"
                )
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(clipped, GRADIENT_NORM)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
        validation_loss = mean_loss(model, validation)
        if validation_loss < best_loss:
            best_loss, best_state = validation_loss, _state(model)
        if after_epoch is not None:
            after_epoch(epoch + 1, best_state)
    model.load_state_dict(best_state)
    model.eval()
    return best_loss


def adamw(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Give the default optimizer, for models that do not ask for another one."""
    return [torch.optim.AdamW(model.parameters(), lr=lr, fused=True)]


def _rate(step: int, steps: int, *, anneal: bool) -> float:
    warmup = max(1, int(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    if not anneal:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def losses(model: nn.Module, batches: list[Batch]) -> Tensor:
    """Give the (scored,) losses of all batches in a row, without dropout or gradients.

    Args:
        model: maps a batch to the (scored,) losses of its targets.
        batches: the batches.
    """
    model.eval()
    with torch.no_grad():
        return torch.cat([model(to_device_of(model, batch)) for batch in batches])


def mean_loss(model: nn.Module, batches: list[Batch]) -> float:
    """Give the mean loss per scored target over all batches; processes share the work."""
    if world_size() == 1:
        return losses(model, batches).double().mean().item()
    mine = batches[dist.get_rank() :: world_size()]
    device = device_at(model)
    nothing = torch.zeros(0, dtype=torch.float64, device=device)
    own_losses = losses(model, mine).double() if mine else nothing
    total = all_reduce_mean(
        torch.tensor([own_losses.sum(), len(own_losses)], dtype=torch.float64, device=device)
    )
    return (total[0] / total[1]).item()
