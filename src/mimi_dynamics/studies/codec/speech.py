"""The speech that mimi-mini learns from: clips, joined, and segments drawn from them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.pipeline.files import atomic_path
from mimi_dynamics.pipeline.params import IngestParams, MiniParams
from mimi_dynamics.speech.ingestion import ingest_corpora

GAIN_DB = 6.0


def training_speech(ingest: IngestParams, params: MiniParams, folder: Path) -> pd.DataFrame:
    """Give the manifest of the training corpora, as clips in `folder`.

    The corpora are converted only if the folder does not have them yet.
    """
    ingest = ingest.model_copy(update={"corpora": params.corpora})
    # Mirrors and the engine do not change the clips, so they do not change the folder either.
    without = {"mirror", "mirror_url", "engine"}
    settings = json.dumps(ingest.model_dump(exclude=without), sort_keys=True)
    speech = folder / f"speech-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
    if not (speech / "manifest.parquet").exists():
        manifest, _ = ingest_corpora(ingest, speech / "audio")
        with atomic_path(speech / "manifest.parquet") as temporary:
            manifest.to_parquet(temporary)
    return pd.read_parquet(speech / "manifest.parquet")


def join_speech(manifest: pd.DataFrame) -> np.ndarray:
    """Read all clips of `manifest` into one int16 (samples,) array at 24 kHz: 173 MB per hour."""
    return np.concatenate([soundfile.read(path, dtype="int16")[0] for path in manifest["path"]])


def draw_segments(
    audio: np.ndarray, clips: int, clip_frames: int, generator: np.random.Generator
) -> torch.Tensor:
    """Draw random segments of audio, each at a random level.

    Args:
        audio: int16 (samples,) at 24 kHz, all training speech.
        clips: number of segments.
        clip_frames: their length in frames of 80 ms.
        generator: draws starts and levels.

    Returns:
        (clips, clip_frames * 1920) samples in float32.
    """
    samples = clip_frames * FRAME_SIZE
    starts = generator.integers(0, len(audio) - samples, clips, endpoint=True)
    gains = 10 ** (generator.uniform(-GAIN_DB, GAIN_DB, clips) / 20)
    segments = np.stack([audio[start : start + samples] for start in starts])
    return torch.from_numpy((segments * (gains[:, None] / 32768)).astype(np.float32))
