"""The quality of decoded speech, by measures that are common in speech research."""

import warnings

import numpy as np
import torch
from pystoi import stoi

from mimi_dynamics.codec.base import SAMPLE_RATE
from mimi_dynamics.codec.heard import silence_gated
from mimi_dynamics.codec.log_mel import heard_distance
from mimi_dynamics.codec.pitch import compare_pitch

# The value that pystoi gives, with a warning, for clips with less than 0.4 s of sound.
TOO_SHORT_FOR_STOI = 1e-5
QUIET = 1e-9


def speech_quality(found: np.ndarray, wanted: np.ndarray, gated: np.ndarray) -> dict[str, float]:
    """Compare (samples,) audio with the recording by every measure.

    What is in gated frames is silenced in both, and not counted. STOI leaves out silence by itself.

    Args:
        found: (samples,) decoded audio.
        wanted: (samples,) the recording.
        gated: (frames,) bool, which frames of 80 ms do not count, but not all of them.

    Returns:
        `log_mel`, the distance of `log_mel.heard_distance` in nepers; `si_sdr_db`, how much of
        the waveform is right; `estoi`, intelligibility from 0 to 1 (Jensen & Taal 2016); and
        `pitch_*`, see `pitch.compare_pitch`. A measure that is not defined for the clip is NaN.
    """
    first, second = (silence_gated(torch.from_numpy(audio), gated) for audio in (found, wanted))
    pitch = {f"pitch_{name}": value for name, value in compare_pitch(first, second, gated).items()}
    return {
        "log_mel": heard_distance(first, second, gated),
        "si_sdr_db": si_sdr(first.numpy(), second.numpy()),
        "estoi": extended_stoi(first.numpy(), second.numpy()),
        **pitch,
    }


def si_sdr(found: np.ndarray, wanted: np.ndarray) -> float:
    """Give the scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, eq. 3).

    Args:
        found: (samples,) decoded audio.
        wanted: (samples,) the recording.
    """
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    target = wanted * (found @ wanted) / max(wanted @ wanted, QUIET)
    noise = found - target
    return float(10 * np.log10(max(target @ target, QUIET) / max(noise @ noise, QUIET)))


def extended_stoi(found: np.ndarray, wanted: np.ndarray) -> float:
    """Give the extended short-time objective intelligibility; NaN for clips that are too short.

    Args:
        found: (samples,) decoded audio.
        wanted: (samples,) the recording.
    """
    with warnings.catch_warnings():
        # pystoi warns of clips that are too short, but the score already shows that.
        warnings.simplefilter("ignore", RuntimeWarning)
        score = float(stoi(wanted, found, SAMPLE_RATE, extended=True))
    return float("nan") if score == TOO_SHORT_FOR_STOI else score
