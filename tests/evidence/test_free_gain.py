"""What the change of frames without dynamics gains: ½ ln 2 if they are Gaussian, else more."""

import math

import numpy as np
import pytest
import torch

from mimi_dynamics.density.fit import FitSpec
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.evidence.gains import STACK, Gains, fit_many
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.studies.horizons.metrics import free_gain
from tests.density.test_fit import SMALL

DIM, CLIPS, FRAMES = 4, 400, 50
SCALES = np.array([0.2, 1.4])  # of silence and of speech, each in half of the frames


def entropy_per_dim(variances: np.ndarray, weights: np.ndarray) -> float:
    """Entropy of a mixture of Gaussians around 0, by the exact density of 2 · 10⁵ draws of it."""
    rng = np.random.default_rng(0)
    scale = np.sqrt(rng.choice(variances, 200_000, p=weights))
    squared = ((scale[:, None] * rng.normal(size=(len(scale), DIM))) ** 2).sum(1)
    exponents = -squared[:, None] / (2 * variances) - DIM / 2 * np.log(2 * math.pi * variances)
    return -float(np.log(np.exp(exponents) @ weights).mean()) / DIM


def free(scales: np.ndarray) -> float:
    """h(x′ − x) − h(x) in nats per dimension; x′ − x has the sum of any two of the variances."""
    own, even = scales**2, np.full(len(scales), 1 / len(scales))
    sums = (own[:, None] + own).ravel()
    return entropy_per_dim(sums, np.outer(even, even).ravel()) - entropy_per_dim(own, even)


def test_only_gaussian_frames_gain_half_ln_2() -> None:
    """The more the two scales differ, the more; ½ ln 2 is the least, by the entropy power bound."""
    gains = [free(np.array([1, ratio])) for ratio in (1, 2, 4, 8, 16)]
    assert gains[0] == pytest.approx(0.5 * math.log(2), abs=1e-9)
    assert gains == sorted(gains)
    assert gains[-1] > 0.8


@pytest.mark.trains
def test_a_linear_model_reports_half_ln_2_and_a_mixture_what_is_true() -> None:
    """On the same frames, independent and of two scales, as speech and silence are."""
    rng = np.random.default_rng(1)
    scale = rng.choice(SCALES, (CLIPS * FRAMES, 1))
    frames = torch.from_numpy(scale * rng.normal(size=(len(scale), DIM))).float()
    nothing = torch.zeros(len(frames), dtype=torch.bool)
    shares = np.searchsorted([0.6, 0.75], (np.arange(CLIPS) + 0.5) / CLIPS)
    data = Sequences(
        frames=frames,
        voiced=~nothing,
        gated=nothing,
        lengths=np.full(CLIPS, FRAMES),
        splits=np.array(["train", "validation", "test"])[shares],
    )
    jobs = [
        FitSpec("permuted", data, head, 1, SMALL, 0, delta=delta)
        for head in ("var", "mdn")
        for delta in (False, True)
    ]
    bootstrap = ClipBootstrap(len(data.select("test").lengths), 100, 0)
    fits, found = fit_many(jobs), {}
    for head in ("var", "mdn"):
        fits |= {
            ("permuted", STACK, of): fits["permuted", head, of]
            for of in ("marginal", "delta_marginal")
        }
        gains = Gains(jobs[0], {"permuted": data}, fits, "test", bootstrap)
        found[head] = free_gain(gains).value
    assert found["var"] == pytest.approx(0.5 * math.log(2), abs=0.01)
    assert found["mdn"] == pytest.approx(free(SCALES), abs=0.04)
    assert free(SCALES) > 0.6
