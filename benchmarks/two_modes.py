"""Do the heads of CALM draw both modes of a law of two, each as often as it should come?

A head that draws the mean, or one mode only, looks well by most other measures. Every head learns
the same law by the same training, with several seeds.

    PYTHONPATH=src .venv/bin/python benchmarks/two_modes.py [--kind lsd] [--steps 2000] [--seeds 5]

Prints how far the shares are from the truth. On one core, 2000 steps of one training take 40 s.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn

from mimi_dynamics.density.training import GRADIENT_NORM
from mimi_dynamics.studies.calm.head_base import CalmHead, HeadShape
from mimi_dynamics.studies.calm.heads import CALM_HEADS

# Where the modes are, how wide each is, and the share of the right one, by condition.
MODES, SPREAD, SHARES = (-1.0, 1.0), 0.15, (0.2, 0.7)
ROWS, LR = 256, 4e-3
DRAWS = 20_000  # a share of them has a standard error of 0.0035 at most
SAMPLING_STEPS = {"consistency": (1, 2), "lsd": (1, 2), "flow_matching": (16,)}


class Changes(TypedDict, total=False):
    """What may differ between heads of one kind in training, see `HeadShape`."""

    batch: int
    adaptive_weight: bool
    tangent_normalisation: bool
    tangent_warmup: float
    time_proposal: bool


def make_head(
    kind: str, dim: int = 1, steps: int | None = None, **changes: Unpack[Changes]
) -> CalmHead:
    """Make a small head with all stabilisers on and one coordinate of context."""
    shape = HeadShape(kind, depth=2, batch=4, steps=steps or SAMPLING_STEPS[kind][0])
    return CALM_HEADS[kind](replace(shape, **changes), dim, context_dim=1, width=32)


def two_modes(rows: int) -> tuple[Tensor, Tensor]:
    """Draw (rows, 1) conditions, and frames of one of two modes, one likelier by condition."""
    condition = torch.rand(rows, 1).round()
    right = torch.rand(rows, 1) < SHARES[0] + (SHARES[1] - SHARES[0]) * condition
    return condition, torch.where(right, MODES[1], MODES[0]) + SPREAD * torch.randn(rows, 1)


def train_head(
    kind: str,
    draw: Callable[[int], tuple[Tensor, Tensor]] = two_modes,
    *,
    steps: int,
    seed: int,
    clip: float = GRADIENT_NORM,
    lr: float = LR,
    **changes: Unpack[Changes],
) -> CalmHead:
    """Train by Adam with a cosine, the gradients clipped as in the training of CALM.

    Args:
        kind: a key of `CALM_HEADS`.
        draw: gives (rows, 1) conditions and frames for a number of rows.
        steps: of the optimizer.
        seed: of weights and draws.
        clip: largest norm of a gradient.
        lr: learning rate to begin with.
        changes: of the head.
    """
    torch.manual_seed(seed)
    head = make_head(kind, **changes)
    optimizer = torch.optim.Adam(head.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        loss = head.losses(*draw(ROWS), step / steps)
        optimizer.zero_grad()
        loss.weighted.mean().backward()
        nn.utils.clip_grad_norm_(head.parameters(), clip)
        optimizer.step()
        schedule.step()
    return head.eval()


def in_steps(head: CalmHead, steps: int) -> CalmHead:
    """Set the number of evaluations for one sample."""
    head.shape = replace(head.shape, steps=steps)
    return head


def modes_of(head: CalmHead, condition: float, draws: int = DRAWS) -> tuple[float, float]:
    """Give the share of samples near a mode, and of those near one, how many are right."""
    torch.manual_seed(1)
    drawn = head(torch.full((1, 1), condition)).sample((draws,))[:, 0, 0]
    near = (drawn.abs() - 1).abs() < 3 * SPREAD
    return near.float().mean().item(), (drawn[near] > 0).float().mean().item()


def errors_of(head: CalmHead) -> tuple[float, list[float]]:
    """Give the mean share near a mode, and by condition how far the right mode's share is off."""
    found = [modes_of(head, float(condition)) for condition in range(len(SHARES))]
    off = [right - share for (_, right), share in zip(found, SHARES, strict=True)]
    return sum(near for near, _ in found) / len(found), off


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=SAMPLING_STEPS, help="one head only")
    parser.add_argument("--steps", type=int, default=2000, help="of the optimizer")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each head")
    parser.add_argument("--clip", type=float, default=GRADIENT_NORM, help="largest gradient norm")
    parser.add_argument("--lr", type=float, default=LR, help="learning rate to begin with")
    usual = HeadShape("", 0, 4, 1)
    parser.add_argument("--batch", type=int, default=usual.batch, help="draws of noise a frame")
    parser.add_argument(
        "--warmup", type=float, default=usual.tangent_warmup, help="share of training, of a tangent"
    )
    parser.add_argument("--unweighted", action="store_true", help="without adaptive weight")
    options = parser.parse_args()
    changes: Changes = {
        "adaptive_weight": not options.unweighted,
        "batch": options.batch,
        "tangent_warmup": options.warmup,
    }
    torch.set_num_threads(1)
    print(f"steps {options.steps}, gradients clipped at {options.clip:g}")
    for kind in [options.kind] if options.kind else SAMPLING_STEPS:
        off: dict[int, list[list[float]]] = {steps: [] for steps in SAMPLING_STEPS[kind]}
        for seed in range(options.seeds):
            training = {"steps": options.steps, "clip": options.clip, "lr": options.lr}
            head = train_head(kind, seed=seed, **training, **changes)
            for steps, all_off in off.items():
                near, here = errors_of(in_steps(head, steps))
                all_off.append(here)
                told = ", ".join(f"{error:+.3f}" for error in here)
                print(
                    f"{kind}, {steps} steps, seed {seed}: near {near:.3f}, off {told}", flush=True
                )
        for steps, all_off in off.items():
            errors = torch.tensor(all_off)
            rms, mean = errors.square().mean().sqrt(), errors.mean(0)
            told = ", ".join(f"{error:+.3f}" for error in mean.tolist())
            print(
                f"{kind}, {steps} steps: off {told} on average over seeds, "
                f"{errors.abs().max():.3f} at most, {rms:.3f} rms"
            )


if __name__ == "__main__":
    main()
