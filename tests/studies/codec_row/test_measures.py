"""Measures of latents have the values that known latents have."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.studies.codec_row.measures import (
    autocorrelation,
    effective_dimension,
    loudness_share,
    variance_kept_by_leading,
)

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.standard_normal((40_000, 8))


def test_effective_dimension_of_equal_and_of_unequal_variances() -> None:
    rotation = np.linalg.qr(RANDOM.standard_normal((8, 8)))[0]
    assert effective_dimension(NOISE @ rotation) == pytest.approx(8, rel=0.01)
    one = NOISE * np.array([10, *[1e-3] * 7])
    assert effective_dimension(one @ rotation) == pytest.approx(1, rel=0.01)


def test_variance_kept_of_equal_variances_grows_in_proportion() -> None:
    kept = variance_kept_by_leading(NOISE)
    assert kept[4] == pytest.approx(0.5, abs=0.02)
    assert kept[8] == kept[128] == pytest.approx(1)


def test_share_of_loudness() -> None:
    """Half of the variance a function of loudness, not a line, and half noise."""
    loudness = RANDOM.uniform(-60, -10, len(NOISE))
    values = NOISE + np.sqrt(2) * np.sin(loudness)[:, None]
    train = RANDOM.random(len(NOISE)) < 0.7
    found = loudness_share(values, loudness, train, ~train)
    assert found == pytest.approx(0.5, abs=0.03)
    assert loudness_share(NOISE, loudness, train, ~train) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("lag", [1, 3])
def test_autocorrelation_stays_within_clips(lag: int) -> None:
    """Clips of an autoregression whose coordinates remember 0.8 a frame."""
    clips, length = 400, 50
    state = np.zeros((clips, length, 4))
    state[:, 0] = RANDOM.standard_normal((clips, 4))
    for t in range(1, length):
        state[:, t] = 0.8 * state[:, t - 1] + 0.6 * RANDOM.standard_normal((clips, 4))
    frames = torch.from_numpy(state.reshape(-1, 4)).float()
    lengths = np.full(clips, length)
    sequences = Sequences(
        frames,
        torch.ones(len(frames), dtype=torch.bool),
        torch.zeros(len(frames), dtype=torch.bool),
        lengths,
        np.full(clips, "test"),
    )
    assert autocorrelation(sequences, lag) == pytest.approx(0.8**lag, abs=0.02)
    signs = torch.tensor([1.0, -1.0]).repeat(clips * length // 2)[:, None]
    flipped = replace(sequences, frames=frames * torch.where(torch.arange(4) < 2, signs, 1.0))
    assert autocorrelation(flipped, lag) == pytest.approx(0.8**lag, abs=0.02)
    assert autocorrelation(sequences, length) == 0
