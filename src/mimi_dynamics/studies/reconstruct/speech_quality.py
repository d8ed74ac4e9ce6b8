"""The quality of decoded speech, by measures that are common in speech research."""

import warnings
from functools import cache

import jiwer
import numpy as np
import pocketsphinx
import torch
from pystoi import stoi
from scipy.signal import resample_poly

from mimi_dynamics.codec.base import SAMPLE_RATE
from mimi_dynamics.codec.log_mel import log_mel_distance
from mimi_dynamics.codec.pitch import compare_pitch

RECOGNISER_RATE = 16_000
# States to search in a frame: this takes half the time of 30,000, and error rates differ by less
# than 0.05.
MOST_STATES = 3000
# The value that pystoi gives, with a warning, for clips with less than 0.4 s of sound.
TOO_SHORT_FOR_STOI = 1e-5
QUIET = 1e-9


def speech_quality(found: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Compare (samples,) audio with the recording by every measure.

    Args:
        found: (samples,) decoded audio.
        wanted: (samples,) the recording.

    Returns:
        `log_mel`, the distance of `log_mel.log_mel_distance` in nepers; `si_sdr_db`, how much of
        the waveform is right; `estoi`, intelligibility from 0 to 1 (Jensen & Taal 2016); and
        `pitch_*`, see `pitch.compare_pitch`. A measure that is not defined for the clip is NaN.
    """
    pair = torch.from_numpy(found), torch.from_numpy(wanted)
    pitch = {f"pitch_{name}": value for name, value in compare_pitch(*pair).items()}
    return {
        "log_mel": log_mel_distance(pair[0][None], pair[1][None]).item(),
        "si_sdr_db": si_sdr(found, wanted),
        "estoi": extended_stoi(found, wanted),
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


def word_errors(found: str, wanted: str) -> int:
    """Count the words to replace, drop or insert to turn one text into the other."""
    if not wanted:
        return len(found.split())
    result = jiwer.process_words(wanted, found)
    return result.substitutions + result.deletions + result.insertions


def transcribe(audio: np.ndarray) -> str:
    """Transcribe (samples,) audio with the English model of pocketsphinx."""
    resampled = resample_poly(audio, RECOGNISER_RATE // 8000, SAMPLE_RATE // 8000)
    pcm = np.clip(np.rint(resampled * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)
    decoder = _recogniser()
    decoder.reinit_feat()  # otherwise the mean spectrum of the last clip would still be in use
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


@cache
def _recogniser() -> pocketsphinx.Decoder:
    return pocketsphinx.Decoder(samprate=RECOGNISER_RATE, maxhmmpf=MOST_STATES, loglevel="FATAL")
