"""Read clips as stage `ingest` wrote them, which is the form that codecs need."""

from pathlib import Path

import numpy as np
import soundfile

from mimi_dynamics.codec.base import SAMPLE_RATE
from mimi_dynamics.pipeline.errors import InputError


def read_clip(path: Path) -> np.ndarray:
    """Read a clip that stage `ingest` wrote, as float32 (samples,) at 24 kHz.

    Raises:
        InputError: the file is missing, not readable, empty or not 24 kHz mono.
    """
    try:
        audio, rate = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"{path}: not readable; run the stage ingest") from error
    if rate != SAMPLE_RATE or audio.ndim != 1 or not audio.size:
        raise InputError(f"{path}: must be {SAMPLE_RATE} Hz mono; run the stage ingest")
    return audio
