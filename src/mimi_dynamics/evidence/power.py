"""How small a gain could have been seen: a known one is planted into data that have none."""

import math
from dataclasses import replace
from functools import partial

import torch

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec, fit_densities
from mimi_dynamics.density.stacking import stack
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.gains import Scored
from mimi_dynamics.latents.sequences import Sequences

GAINS = tuple(0.0005 * 2**power for power in range(9))  # nats per dimension; the last is 0.128


def plant(sequences: Sequences, _: torch.Generator, gain: float, horizon: int) -> Sequences:
    """Let every frame keep a part of the one `horizon` frames before it, as in a VAR.

    x_t = ρ x_{t−horizon} + √(1 − ρ²) u_t, where u are the frames as they are, and ρ is such that
    Gaussian noise would gain `gain` = −½ ln(1 − ρ²); other noise gains more.

    Args:
        sequences: frames in an order that tells nothing.
        gain: nats per dimension.
        horizon: k, in frames.
    """
    rho = math.sqrt(1 - math.exp(-2 * gain))
    frames, index = sequences.frames.clone(), torch.from_numpy(sequences.index_in_clip)
    places = index.argsort(stable=True).split(index.bincount().tolist())
    for at in places[horizon:]:
        frames[at] = rho * frames[at - horizon] + math.exp(-gain) * frames[at]
    return replace(sequences, frames=frames)


def smallest_gain_seen(shuffled: FitSpec, bootstrap: ClipBootstrap) -> float | None:
    """Find the smallest of `GAINS` whose interval, beyond that of shuffled frames, excludes 0.

    Each is planted once, so that about half of such gains would be missed. The linear model looks
    for it, which is one of the densities that are stacked.

    Args:
        shuffled: the fit to shuffled frames.
        bootstrap: draws of the clips of `test`.

    Returns:
        The gain in nats per dimension; None if not even the largest is seen.
    """
    null = _linear_gain(shuffled, bootstrap)
    for gain in GAINS:
        change = partial(plant, gain=gain, horizon=shuffled.horizon)
        planted = shuffled.sequences.changed(change, torch.Generator())
        found = _linear_gain(replace(shuffled, sequences=planted), bootstrap).beyond(null)
        if found.metrics("gain")["gain_ci_low"] > 0:
            return gain
    return None


def _linear_gain(job: FitSpec, bootstrap: ClipBootstrap) -> Estimate:
    """Give the gain of the linear model on `test`, stacked with its marginal."""
    fitted = fit_densities(replace(job, head=LINEAR_BASELINE))
    saved = (
        fitted["marginal"].nll["test"]
        - stack({name: density for name, density in fitted.items()}).nll["test"]
    )
    return bootstrap.mean(saved, Scored.of(job, "test").clip) / job.sequences.dim
