"""Sounds, broken files and settings for the tests of `ingest`."""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from mimi_dynamics.pipeline.params import IngestParams


def tone(seconds: float, hertz: float, rate: int = 24_000, peak: float = 0.5) -> np.ndarray:
    """A sine as float32 [samples]."""
    time = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write_sound(
    path: Path, sound: np.ndarray, rate: int = 24_000, subtype: str | None = None
) -> Path:
    """Write float [samples] or [samples, channels] in the format that the name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype=subtype)
    return path


def encode(sound: np.ndarray, container: str, codec: str, rate: int = 24_000) -> bytes:
    """Float [samples] as bytes of a format that FFmpeg writes, by its names for it."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as media:
        stream = media.add_stream(codec, rate=rate, layout="mono")
        wanted = stream.codec_context.codec.audio_formats[0].name
        step = stream.codec_context.frame_size or 320
        resampler = av.AudioResampler(format=wanted, layout="mono", rate=rate, frame_size=step)
        samples = np.round(sound * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = rate
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            media.mux(stream.encode(part))
        media.mux(stream.encode(None))
    return file.getvalue()


def write_voices(root: Path, voices: int = 2, clips: int = 20) -> Path:
    """A folder corpus of different tones of 0.3 s, `clips` for each voice."""
    for voice in range(voices):
        for clip in range(clips):
            sound = tone(0.3, 200 + 20 * clip + 7 * voice, rate=16_000)
            write_sound(root / f"voice{voice}" / f"take{clip:02d}.wav", sound, 16_000)
    return root


def ingest_params(**changes: Any) -> IngestParams:  # noqa: ANN401
    """Settings for short clips of a folder, changed as asked for."""
    settings = {
        "corpora": ["folder"],
        "mirror": "",
        "mirror_url": "",
        "min_seconds": 0.2,
        "max_seconds": 2.0,
        "test_voices": [],
        "keep_copies": True,
        "splits": {"train": 0.5, "validation": 0.25, "test": 0.25},
        "asterisk": {"languages": ["en"]},
        "librispeech": {"subsets": ["dev-clean"]},
        "folder": {"path": "."},
        "voice_pattern": "",
        "voice_table": "",
        "engine": "local",
    }
    return IngestParams.model_validate(settings | changes)
