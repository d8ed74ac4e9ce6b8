"""The distances are 0 for the same sound, see what the ear hears, and have gradients everywhere."""

import pytest
import torch

from mimi_dynamics.codec.log_mel import (
    log_mel_distance,
    mel_spectrum,
    reconstruction_loss,
    reconstruction_terms,
)
from tests.harness.tiny_codec import noise

SOUND = torch.from_numpy(noise(0.5))[None]


def test_distance_of_a_level() -> None:
    """A factor of e is one neper in each band that is not below the floor."""
    loud = SOUND * 5
    spectra = [mel_spectrum(loud * gain, 1024) for gain in (1.0, torch.e)]
    above = spectra[0] > spectra[0].min() + 0.1
    torch.testing.assert_close((spectra[1] - spectra[0])[above], torch.ones(int(above.sum())))
    assert log_mel_distance(loud, loud) == 0


def test_distance_does_not_hear_phase() -> None:
    """But the waveform term does."""
    terms = reconstruction_terms(-SOUND, SOUND)
    assert terms["log_mel"] == terms["linear"] == 0
    assert terms["waveform"] == pytest.approx(2)


def test_harmonics_are_resolved() -> None:
    """A voice of 120 Hz is far from one of 113 Hz with the same envelope."""
    time = torch.arange(24000) / 24000
    low, high = (
        sum(torch.sin(2 * torch.pi * hertz * n * time) / n for n in range(1, 30))[None] * 0.1
        for hertz in (113.0, 120.0)
    )
    assert log_mel_distance(low, high) > 0.5


def test_silence_is_far_and_has_a_gradient() -> None:
    """Neither a silent estimate nor a silent target gives anything but finite numbers."""
    for target in (SOUND, torch.zeros_like(SOUND)):
        estimate = torch.zeros_like(SOUND, requires_grad=True)
        loss = reconstruction_loss(reconstruction_terms(estimate, target))
        loss.backward()
        assert loss.isfinite()
        assert estimate.grad is not None
        assert estimate.grad.isfinite().all()
    assert log_mel_distance(torch.zeros_like(SOUND), SOUND) > 2
