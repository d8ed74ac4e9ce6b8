"""The cost of training and generation: counted floating-point operations of matrix products."""

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

from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.generation.rollouts import Starts, read_past, roll_out, seeded
from mimi_dynamics.latents.sequences import Batch, scored_frames
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.studies.calm.head_base import CalmHead

BATCHES = 4  # number of batches to count, evenly spaced from short clips to long ones
STEPS = 4  # number of steps of a rollout to count


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


# Attention on CPUs, which torch 2.9 does not count.
ON_PROCESSORS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
for formula in ON_PROCESSORS.values():
    # Torch then passes tensors and not their shapes; we need the mask.
    vars(formula)["_get_raw"] = True


def count(work: Callable[[], object]) -> int:
    """Count the operations of all matrix products, convolutions and attention in `work`.

    A product of (a, b) with (b, c) takes 2abc operations. Attention counts only the pairs that its
    mask allows, as if the others were skipped. Element-wise operations do not count.
    """
    with FlopCounterMode(display=False, custom_mapping=ON_PROCESSORS) as counter:
        work()
    return counter.get_total_flops()


def epoch_flops(training: nn.Module, batches: list[Batch]) -> float:
    """Count the operations of one pass over the training batches, gradients included.

    They are counted on a few batches and scaled by the number of scored frames. The module is not
    changed.
    """
    copied = copy.deepcopy(training).train()
    some = [batches[i] for i in choose_evenly(len(batches), BATCHES)]

    def work() -> None:
        for batch in some:
            copied(batch).mean().backward()

    with seeded(0):  # some losses use frames drawn at random
        operations = count(work)
    return operations / scored_frames(some) * scored_frames(batches)


def frame_flops(generator: Generator, start: Starts) -> float:
    """Count the operations of generating one frame, after all frames before it have been read.

    Args:
        generator: the generator.
        start: one start in a clip of the test split.
    """
    past = read_past(generator.step, generator.known.select("test"), start)

    def work() -> None:
        path = roll_out(generator.step, past, np.array([STEPS]), 1)
        generator.finish(path)

    with seeded(0):
        return count(work) / STEPS


# Number of passes through the network of a head for each coordinate of a sample. Other heads take
# one pass for the whole sample.
PASSES_PER_COORDINATE = {"autoregressive": 1, "flow": 2}


def network_evaluations(generator: Generator, head: str) -> int:
    """Count the passes through a network that one frame takes, one after the other.

    A transformer, a trunk or a head counts once each time it is run; so do prior and reconstructor.

    Args:
        generator: the generator.
        head: the head of its step, a key of `heads.HEADS` or of `calm.heads.CALM_HEADS`.
    """
    step = generator.step
    if isinstance(step.head, CalmHead):
        return 1 + (step.trunk.short is not None) + step.head.shape.steps
    dim = len(step.whitening.mean)
    passes = PASSES_PER_COORDINATE.get(head, 0) * dim or 1
    return 1 + passes + 2 * (generator.render is not None)
