"""Measure how far one sound is from another, as losses to train the codec and metrics to judge it.

Log-mel distances are taken at several window lengths, as in EnCodec (arXiv 2210.13438, section 3.4)
and DAC (arXiv 2306.06546). Short windows locate onsets; the longest window resolves the harmonics
of a low voice.
"""

from functools import cache

import numpy as np
import torch

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE
from mimi_dynamics.codec.heard import heard_at, silence_gated

# The number of mel bands by window length in samples. A band must be wider than a frequency bin,
# or the lowest bands would be empty.
MEL_BANDS = {256: 20, 512: 40, 1024: 80, 2048: 160}
# Smaller magnitudes count as silence. White noise at -79 dBFS just reaches this magnitude in the
# longest window.
LINEAR_BASELINE = 3e-6
LINEAR_WEIGHT = 1.0
WAVEFORM_WEIGHT = 0.1


def log_mel_distance(estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Give the mean absolute difference of log-mel magnitudes in nepers, averaged over all windows.

    Args:
        estimate: audio (batch, samples).
        target: audio of the same shape.

    Returns:
        A scalar.
    """
    return reconstruction_terms(estimate, target)["log_mel"]


def heard_distance(estimate: torch.Tensor, target: torch.Tensor, gated: np.ndarray) -> float:
    """Give the `log_mel_distance` of two sounds at the times that lie in frames that count.

    Args:
        estimate: audio (samples,).
        target: audio of the same shape.
        gated: (frames,) bool, which frames of 80 ms do not count; see `codec.heard`.

    Returns:
        The distance in nepers; NaN if no frame counts.
    """
    distance = torch.zeros(())
    for window in MEL_BANDS:
        found, wanted = (heard_spectrum(audio, gated, window) for audio in (estimate, target))
        distance = distance + (found - wanted).abs().mean()
    return (distance / len(MEL_BANDS)).item()


def heard_spectrum(audio: torch.Tensor, gated: np.ndarray, window: int) -> torch.Tensor:
    """Give the (bands, times) log-mel spectrum at the times that lie in frames that count.

    Args:
        audio: (samples,).
        gated: (frames,) bool, which frames of 80 ms do not count; see `codec.heard`.
        window: a key of `MEL_BANDS`.
    """
    spectrum = mel_spectrum(silence_gated(audio, gated)[None], window)[0]
    times = torch.arange(spectrum.shape[-1]) * (window // 4)  # Windows are centred on these.
    return spectrum[:, heard_at(times, gated).nonzero()[:, 0]]


def reconstruction_terms(estimate: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compute the terms of the reconstruction loss.

    Args:
        estimate: audio (batch, samples).
        target: audio of the same shape.

    Returns:
        Three scalars. `log_mel` is that of `log_mel_distance`. `linear` is the error of spectral
        magnitudes over the magnitudes. It gives most weight to peaks, that is to harmonics, where
        `log_mel` weights all bands alike. `waveform` is the absolute error over the absolute
        amplitude. It is the only term that depends on phase.
    """
    log_mel = linear = torch.zeros((), device=target.device)
    for window in MEL_BANDS:
        result, wanted = _magnitudes(estimate, window), _magnitudes(target, window)
        log_mel = log_mel + (_log_mel(result, window) - _log_mel(wanted, window)).abs().mean()
        linear = linear + _relative_error(result, wanted)
    scales = len(MEL_BANDS)
    waveform = _relative_error(estimate, target)
    return {"log_mel": log_mel / scales, "linear": linear / scales, "waveform": waveform}


def reconstruction_loss(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    """Add up the terms of `reconstruction_terms`, with their weights, to one scalar loss."""
    return terms["log_mel"] + LINEAR_WEIGHT * terms["linear"] + WAVEFORM_WEIGHT * terms["waveform"]


def mel_spectrum(audio: torch.Tensor, window: int) -> torch.Tensor:
    """Give log-mel magnitudes (batch, bands, times) of `audio` (batch, samples), in nepers."""
    return _log_mel(_magnitudes(audio, window), window)


def _magnitudes(audio: torch.Tensor, window: int) -> torch.Tensor:
    # After division by the sum of the window, a full-scale sine peaks at 0.5 for any window length.
    taper = _taper(window).to(audio.device)
    spectrum = torch.stft(audio, window, window // 4, window=taper, return_complex=True)
    # The magnitude has no gradient at exactly zero, but torch gives 0 there rather than NaN.
    return spectrum.abs() / taper.sum()


def _log_mel(magnitudes: torch.Tensor, window: int) -> torch.Tensor:
    return (mel_filters(window).to(magnitudes.device) @ magnitudes).clamp(min=LINEAR_BASELINE).log()


def _relative_error(estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    # Both sums are over the whole batch, since for a silent segment alone the divisor would be 0.
    return (estimate - target).abs().sum() / target.abs().sum().clamp(min=LINEAR_BASELINE)


@cache
def _taper(window: int) -> torch.Tensor:
    return torch.hann_window(window)


@cache
def mel_filters(window: int) -> torch.Tensor:
    """Give triangular filters (bands, bins), evenly spaced in mel, each with a sum of 1."""
    bands = MEL_BANDS[window]
    frequencies = torch.linspace(0, SAMPLE_RATE / 2, window // 2 + 1)
    mels = torch.linspace(0, _mel(torch.tensor(SAMPLE_RATE / 2)).item(), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    rise = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rise, fall).clamp(min=0)
    return filters / filters.sum(1, keepdim=True)


def _mel(frequency: torch.Tensor) -> torch.Tensor:
    return 2595 * torch.log10(1 + frequency / 700)


WINDOW = 512  # In samples. A frame holds 15 of its hops.


HOP = WINDOW // 4


COLUMNS = FRAME_SIZE // HOP


def log_mel_frames(audio: np.ndarray) -> np.ndarray:
    """Compute all log-mel values of each frame of 80 ms of `audio` (samples,).

    Returns:
        (frames, 600) float64 in nepers: 15 times of 40 bands. The window of the last time of a
        frame reaches 5 ms into the next frame.
    """
    frames = -(-len(audio) // FRAME_SIZE)
    padded = np.zeros(frames * FRAME_SIZE, np.float32)
    padded[: len(audio)] = audio
    spectrum = mel_spectrum(torch.from_numpy(padded)[None], WINDOW)[0, :, : frames * COLUMNS]
    return spectrum.T.reshape(frames, -1).double().numpy()
