"""How far one sound is from another: the losses that train the codec and the metrics it is held to.

Log-mel distances at several window lengths, as in EnCodec (arXiv 2210.13438, section 3.4) and DAC
(arXiv 2306.06546): short windows place onsets, the longest resolves the harmonics of a low voice.
"""

from functools import cache

import numpy as np
import torch

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE

# Window length in samples: mel bands. Bands stay wider than a bin, or the lowest would be empty.
MEL_BANDS = {256: 20, 512: 40, 1024: 80, 2048: 160}
# White noise at -79 dBFS just reaches this in the longest window; quieter counts as silent.
LINEAR_BASELINE = 3e-6
LINEAR_WEIGHT = 1.0
WAVEFORM_WEIGHT = 0.1


def log_mel_distance(estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Give the mean absolute difference of log-mel magnitudes in nepers, mean of all windows.

    Args:
        estimate: audio (batch, samples).
        target: audio of the same shape.
    """
    return reconstruction_terms(estimate, target)["log_mel"]


def reconstruction_terms(estimate: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Give the terms of the reconstruction loss, each a scalar, for audio (batch, samples).

    `log_mel`: see `log_mel_distance`. `linear`: spectral magnitude error over magnitude; weighs
    peaks, that is harmonics, where `log_mel` weighs all bands alike. `waveform`: absolute error
    over absolute amplitude; the only term that sees phase.
    """
    log_mel, linear = torch.zeros(()), torch.zeros(())
    for window in MEL_BANDS:
        found, wanted = _magnitudes(estimate, window), _magnitudes(target, window)
        log_mel = log_mel + (_log_mel(found, window) - _log_mel(wanted, window)).abs().mean()
        linear = linear + _relative_error(found, wanted)
    scales = len(MEL_BANDS)
    waveform = _relative_error(estimate, target)
    return {"log_mel": log_mel / scales, "linear": linear / scales, "waveform": waveform}


def reconstruction_loss(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weigh the terms of `reconstruction_terms` into one loss."""
    return terms["log_mel"] + LINEAR_WEIGHT * terms["linear"] + WAVEFORM_WEIGHT * terms["waveform"]


def mel_spectrum(audio: torch.Tensor, window: int) -> torch.Tensor:
    """Give log-mel magnitudes (batch, bands, times) of `audio` (batch, samples), in nepers."""
    return _log_mel(_magnitudes(audio, window), window)


def _magnitudes(audio: torch.Tensor, window: int) -> torch.Tensor:
    # Divided by the window's sum: a full-scale sine peaks at 0.5 whatever the window.
    taper = _taper(window)
    spectrum = torch.stft(audio, window, window // 4, window=taper, return_complex=True)
    # The magnitude of an exact zero has no gradient: torch gives 0 there, not NaN.
    return spectrum.abs() / taper.sum()


def _log_mel(magnitudes: torch.Tensor, window: int) -> torch.Tensor:
    return (mel_filters(window) @ magnitudes).clamp(min=LINEAR_BASELINE).log()


def _relative_error(estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    # Over the whole batch: a silent segment alone would divide by nothing.
    return (estimate - target).abs().sum() / target.abs().sum().clamp(min=LINEAR_BASELINE)


@cache
def _taper(window: int) -> torch.Tensor:
    return torch.hann_window(window)


@cache
def mel_filters(window: int) -> torch.Tensor:
    """Give triangular filters (bands, bins), evenly spaced on the mel scale, each summing to 1."""
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


WINDOW = 512  # samples: a frame holds 15 hops of it


HOP = WINDOW // 4


COLUMNS = FRAME_SIZE // HOP


def log_mel_frames(audio: np.ndarray) -> np.ndarray:
    """(frames, 600) all log-mel values, in nepers, of each 80 ms of (samples,) audio, float64.

    The window of the last value of a frame reaches 5 ms into the next frame.
    """
    frames = -(-len(audio) // FRAME_SIZE)
    padded = np.zeros(frames * FRAME_SIZE, np.float32)
    padded[: len(audio)] = audio
    spectrum = mel_spectrum(torch.from_numpy(padded)[None], WINDOW)[0, :, : frames * COLUMNS]
    return spectrum.T.reshape(frames, -1).double().numpy()
