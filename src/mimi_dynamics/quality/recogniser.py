"""The words that an English speech recogniser hears, and how many of them are wrong.

The recogniser is an extra, because it has no wheel for every platform and Python. So its packages
are imported only when words are counted.
"""

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import resample_poly

from mimi_dynamics.codec.base import SAMPLE_RATE

if TYPE_CHECKING:
    import pocketsphinx

PACKAGES = ("jiwer", "pocketsphinx")
NOT_INSTALLED = (
    "words wrong in English clips are not counted, because no speech recogniser is installed; "
    "`pip install jiwer pocketsphinx` adds one"
)
RECOGNISER_RATE = 16_000
# States to search in a frame: this takes half the time of 30,000, and error rates differ by less
# than 0.05.
MOST_STATES = 3000


def is_installed() -> bool:
    """Tell whether words can be recognised and compared here."""
    return all(importlib.util.find_spec(package) for package in PACKAGES)


def word_errors(found: str, wanted: str) -> int:
    """Count the words to replace, drop or insert to turn one text into the other."""
    import jiwer

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
def _recogniser() -> "pocketsphinx.Decoder":
    import pocketsphinx

    return pocketsphinx.Decoder(samprate=RECOGNISER_RATE, maxhmmpf=MOST_STATES, loglevel="FATAL")
