"""The known answers are themselves right."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import differential_entropy

from mimi_dynamics.diagnostics.processes import FREEDOM, PROCESSES, RHO, SCALES, VAR_GAIN
from tests.harness.simulation import simulate

SCORED = range(8, 100)


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
    assert gain(32, SCORED) == pytest.approx(VAR_GAIN - math.log(2) / 32, abs=1e-4)
    assert VAR_GAIN - math.log(2) < gain(1, SCORED) < VAR_GAIN / 2


def test_heteroscedastic_gain_against_samples() -> None:
    """Quadrature agrees with nearest-neighbour entropies of draws."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=1_000_000)
    mixture = differential_entropy(draws * rng.choice(SCALES, draws.size), window_length=500)
    own = np.mean([differential_entropy(draws * scale, window_length=500) for scale in SCALES])
    assert PROCESSES["heteroscedastic"].true_gain(1, SCORED) == pytest.approx(
        mixture - own, abs=0.004
    )


def test_heavy_tails_gain_against_samples() -> None:
    """The characteristic function agrees with entropies of draws."""
    rng = np.random.default_rng(0)
    draws = rng.standard_t(FREEDOM, size=(30, 500_000))
    total = np.tensordot(RHO ** np.arange(30), draws, 1)
    entropies = [differential_entropy(x, window_length=500) for x in (total, draws[0])]
    found = entropies[0] - entropies[1]
    assert PROCESSES["heavy_tails"].true_gain(1, SCORED) == pytest.approx(found, abs=0.005)


def test_memory_is_eight_frames_long() -> None:
    """Correlated with the frame of eight ago, and with no other in between."""
    frames = simulate("memory", 100_000, 2).frames.view(-1, 50, 2)
    lagged = [(frames[:, lag:] * frames[:, : 50 - lag]).mean().item() for lag in range(9)]
    assert lagged == pytest.approx([1, 0, 0, 0, 0, 0, 0, 0, RHO], abs=0.04)


def test_the_sign_flip_that_is_rare_loses_less_than_a_coin() -> None:
    """Its sign has the entropy of one in four; mixing the coordinates changes nothing."""
    rates = np.linspace(0.3, 0.95, 32)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    expected = (-0.5 * np.log(1 - rates**2)).mean() - entropy / 32
    assert PROCESSES["rare_sign_flip"].true_gain(32, SCORED) == pytest.approx(expected, abs=1e-4)


def test_clip_offset_gain_against_least_squares() -> None:
    """The best forecast is a shrunken mean of the past; its error gives the gain."""
    frames, scored = PROCESSES["clip_offset"].simulate(40_000, 21, 1, seed=0).frames, range(20, 21)
    clips = frames.view(-1, 21).double()
    past, following = clips[:, :20].mean(1), clips[:, 20]
    left = 1 - torch.corrcoef(torch.stack([past, following]))[0, 1].item() ** 2
    found = PROCESSES["clip_offset"].true_gain(1, scored)
    assert found == pytest.approx(-0.5 * math.log(left), abs=0.005)


@pytest.mark.parametrize("name", ["turned", "switching"])
def test_the_past_that_decides_hides_itself(name: str) -> None:
    """Frames are standard normal, and no linear forecast from one earlier frame explains them."""
    frames = PROCESSES[name].simulate(20_000, 16, 2, seed=0).frames.view(-1, 16, 2)
    assert torch.cov(frames[:, -1].T) == pytest.approx(torch.eye(2), abs=0.03)
    newest = frames[:, -2].T @ frames[:, -1] / len(frames)
    assert newest == pytest.approx(torch.zeros(2, 2), abs=0.03)


def test_switching_loses_a_coin_and_what_lies_before_the_clip() -> None:
    """Once both frames are known, the gain is that of a VAR less the entropy of the coin."""
    gain = PROCESSES["switching"].true_gain
    assert gain(32, range(12, 40)) == pytest.approx(VAR_GAIN - math.log(2) / 32, abs=0.002)
    assert gain(32, range(12)) < VAR_GAIN / 2
    assert gain(32, range(3)) == pytest.approx(0, abs=1e-6)


def test_memory_gains_nothing_before_its_lag() -> None:
    """Of eight scored frames with four known past ones, half the gain is left."""
    assert PROCESSES["memory"].true_gain(2, range(4, 12)) == VAR_GAIN / 2
