"""Sounds with the gross features of speech, for tests that need no recording.

Voiced stretches (harmonics of a gliding pitch under moving formants) with pauses between them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from tests.harness import ROOT

RATE = 24_000
STEP = 0.16  # seconds over which pitch, formants and loudness hold their course


def speechlike(seconds: float, seed: int, pitch: float = 140.0) -> np.ndarray:
    """(samples,) float32 at 24 kHz, peak below 0.5."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    knots = np.arange(0, seconds + 2 * STEP, STEP)

    def course(low: float, high: float) -> np.ndarray:
        return np.interp(time, knots, rng.uniform(low, high, len(knots)))

    phase = 2 * np.pi * np.cumsum(course(0.8, 1.25) * pitch) / RATE
    formants = [course(300, 900), course(900, 2400), course(2400, 3500)]
    sound = np.zeros_like(time)
    for harmonic in range(1, 25):
        frequency = harmonic * pitch
        gain = sum(np.exp(-(((frequency - formant) / 250) ** 2)) for formant in formants)
        sound += (gain + 0.02) * np.sin(harmonic * phase)
    loudness = np.clip(course(-0.5, 1.0), 0, 1)
    sound = sound * loudness + 0.001 * rng.normal(size=len(time))
    return (0.4 * sound / np.abs(sound).max()).astype(np.float32)


def write_corpus(folder: Path, clips_per_voice: int = 30) -> None:
    """Three voices, a sub-folder each, with clips of 1.2 to 3 seconds."""
    for number, (voice, pitch) in enumerate({"ann": 220.0, "bob": 110.0, "cleo": 180.0}.items()):
        (folder / voice).mkdir(parents=True)
        for clip in range(clips_per_voice):
            seed = 1000 * number + clip
            sound = speechlike(1.2 + 1.8 * (clip % 7) / 6, seed, pitch)
            soundfile.write(folder / voice / f"{clip:02d}.wav", sound, RATE)


def write_english(folder: Path, splits: Sequence[str], seconds: float) -> pd.DataFrame:
    """Write a clip for each split where stages look for clips, and their manifest, which is given.

    Args:
        folder: the working directory of the stages.
        splits: the split of each clip.
        seconds: length of each clip.
    """
    (folder / "models").symlink_to(ROOT / "models")
    (folder / "data").mkdir()
    paths = [f"data/{number}.flac" for number in range(len(splits))]
    for number, path in enumerate(paths):
        soundfile.write(folder / path, speechlike(seconds, number), RATE)
    silence = [np.array([], np.int64)] * len(paths)
    manifest = pd.DataFrame({"path": paths, "split": splits, "language": "en", "gated": silence})
    manifest.to_parquet(folder / "data/manifest.parquet")
    return manifest
