"""What training and generation cost: floating-point operations of matrix products, counted."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from mimi_dynamics.calm.generation import Generator
from mimi_dynamics.rollouts import Starts, read_past, roll_out, seeded
from mimi_dynamics.sequences import Batch, scored_frames

BATCHES = 4  # counted, evenly spaced from short clips to long ones
STEPS = 4  # of a rollout, counted


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *_: object,
    attn_mask: Tensor | None = None,
    **__: object,
) -> int:
    whole = sdpa_flop_count(query.shape, key.shape, value.shape)
    return round(whole * _share_seen(attn_mask))


def _attention_backward(
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *_: object,
    attn_mask: Tensor | None = None,
    **__: object,
) -> int:
    whole = sdpa_backward_flop_count(gradient.shape, query.shape, key.shape, value.shape)
    return round(whole * _share_seen(attn_mask))


def _share_seen(mask: Tensor | None) -> float:
    if mask is None:
        return 1.0
    seen = mask if mask.dtype == torch.bool else mask == 0
    return float(seen.double().mean())


# Attention on processors, which torch 2.9 counts as nothing.
ON_PROCESSORS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
for formula in ON_PROCESSORS.values():
    formula._get_raw = True  # torch gives it tensors, for the mask, rather than their shapes


def count(work: Callable[[], object]) -> int:
    """Operations of all matrix products, convolutions and attention that `work` does.

    A product of (a, b) with (b, c) is 2abc. Attention counts the pairs that its mask leaves, as if
    the others were skipped. What works element by element does not count.
    """
    with FlopCounterMode(display=False, custom_mapping=ON_PROCESSORS) as counter:
        work()
    return counter.get_total_flops()


def epoch_flops(training: nn.Module, batches: list[Batch]) -> float:
    """Operations of one pass over the training batches: forward, backward, derivatives and all.

    Counted on a few batches, by scored frame. The module stays as it is.
    """
    copied = copy.deepcopy(training).train()
    some = [batches[i] for i in np.unique(np.linspace(0, len(batches) - 1, BATCHES).astype(int))]

    def work() -> None:
        for batch in some:
            copied(batch).mean().backward()

    with seeded(0):  # some losses are of frames drawn at random
        operations = count(work)
    return operations / scored_frames(some) * scored_frames(batches)


def frame_flops(generator: Generator, start: Starts) -> float:
    """Operations of one generated frame, when all before it has been read.

    Args:
        generator: to look at.
        start: one start in a clip of the test split.
    """
    past = read_past(generator.step, generator.known.select("test"), start)

    def work() -> None:
        path = roll_out(generator.step, past, np.array([STEPS]), 1)
        generator.finish(path)

    with seeded(0):
        return count(work) / STEPS
