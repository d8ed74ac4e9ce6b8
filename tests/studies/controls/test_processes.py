"""The known answers are themselves right."""

import math

import numpy as np
import pytest
from scipy.stats import differential_entropy

from mimi_dynamics.studies.controls.processes import FREEDOM, PROCESSES, RHO, SCALES, VAR_GAIN
from tests.harness.simulation import simulate


@pytest.mark.parametrize("name", PROCESSES)
def test_processes_are_stationary_and_seeded(name: str) -> None:
    """The first and the last frame of a clip have the same spread; same seed, same frames."""
    data = PROCESSES[name].simulate(4000, 12, 3, seed=1)
    frames = data.frames.view(4000, 12, 3)
    spread = frames.abs().median(0).values.mean(1)
    assert spread[0].item() == pytest.approx(spread[-1].item(), rel=0.06)
    assert data.frames.mean().item() == pytest.approx(0, abs=0.03)
    again = PROCESSES[name].simulate(4000, 12, 3, seed=1)
    assert np.array_equal(data.frames.numpy(), again.frames.numpy())
    assert set(data.splits) == {"train", "validation", "test"}


def test_sign_flip_loses_a_coin() -> None:
    """In many dimensions the modes do not overlap, in one they nearly do."""
    gain = PROCESSES["sign_flip"].true_gain
    assert gain(32) == pytest.approx(VAR_GAIN - math.log(2) / 32, abs=1e-4)
    assert VAR_GAIN - math.log(2) < gain(1) < VAR_GAIN / 2


def test_heteroscedastic_gain_against_samples() -> None:
    """Quadrature agrees with nearest-neighbour entropies of draws."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=1_000_000)
    mixture = differential_entropy(draws * rng.choice(SCALES, draws.size), window_length=500)
    own = np.mean([differential_entropy(draws * scale, window_length=500) for scale in SCALES])
    assert PROCESSES["heteroscedastic"].true_gain(1) == pytest.approx(mixture - own, abs=0.004)


def test_heavy_tails_gain_against_samples() -> None:
    """The characteristic function agrees with entropies of draws."""
    rng = np.random.default_rng(0)
    draws = rng.standard_t(FREEDOM, size=(30, 500_000))
    total = np.tensordot(RHO ** np.arange(30), draws, 1)
    entropies = [differential_entropy(x, window_length=500) for x in (total, draws[0])]
    found = entropies[0] - entropies[1]
    assert PROCESSES["heavy_tails"].true_gain(1) == pytest.approx(found, abs=0.005)


def test_memory_is_eight_frames_long() -> None:
    """Correlated with the frame of eight ago, and with no other in between."""
    frames = simulate("memory", 100_000, 2).frames.view(-1, 50, 2)
    lagged = [(frames[:, lag:] * frames[:, : 50 - lag]).mean().item() for lag in range(9)]
    assert lagged == pytest.approx([1, 0, 0, 0, 0, 0, 0, 0, RHO], abs=0.04)
