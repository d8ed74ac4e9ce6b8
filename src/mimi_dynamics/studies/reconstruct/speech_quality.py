"""How good decoded speech is, by the measures that speech people use."""

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
MOST_STATES = 3000  # searched in a frame: half the time of 30,000, error rates within 0.05
# What pystoi gives, with a warning, for clips with less than 0.4 s of sound.
TOO_SHORT_FOR_STOI = 1e-5
QUIET = 1e-9


def speech_quality(found: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Every measure of (samples,) audio against the recording; NaN where a measure has no answer.

    `log_mel`: distance in nepers, `log_mel.log_mel_distance`. `si_sdr_db`: how much of the
    waveform is right. `estoi`: intelligibility, 0 to 1 (Jensen & Taal 2016). `pitch_*`: see
    `pitch.compare_pitch`.
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
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, eq. 3)."""
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    target = wanted * (found @ wanted) / max(wanted @ wanted, QUIET)
    noise = found - target
    return float(10 * np.log10(max(target @ target, QUIET) / max(noise @ noise, QUIET)))


def extended_stoi(found: np.ndarray, wanted: np.ndarray) -> float:
    """Extended short-time objective intelligibility by pystoi; NaN for clips too short for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of clips too short, told by the score
        score = float(stoi(wanted, found, SAMPLE_RATE, extended=True))
    return float("nan") if score == TOO_SHORT_FOR_STOI else score


def word_errors(found: str, wanted: str) -> int:
    """Words to be replaced, dropped or put in to make one text of the other."""
    if not wanted:
        return len(found.split())
    result = jiwer.process_words(wanted, found)
    return result.substitutions + result.deletions + result.insertions


def transcribe(audio: np.ndarray) -> str:
    """What pocketsphinx's English model hears in (samples,) audio."""
    resampled = resample_poly(audio, RECOGNISER_RATE // 8000, SAMPLE_RATE // 8000)
    pcm = np.clip(np.rint(resampled * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)
    decoder = _recogniser()
    decoder.reinit_feat()  # nothing of the last clip's mean spectrum
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


@cache
def _recogniser() -> pocketsphinx.Decoder:
    return pocketsphinx.Decoder(samprate=RECOGNISER_RATE, maxhmmpf=MOST_STATES, loglevel="FATAL")
