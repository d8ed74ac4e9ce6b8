"""Figures and sounds as data URIs, made small, so that the page is one file."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.report.parts import Figure, Sound

MP3_COMPRESSION = 0.8  # of 0 to 1: about 35 kbit/s for speech at 24 kHz
SOUND_NAME = re.compile(r"(?P<clip>.+)\.(?P<kind>[\w-]+)\.wav")


def read_figure(path: Path, quality: int | None = None) -> Figure:
    """A picture file, made small.

    Args:
        path: of a PNG.
        quality: of 0 to 100, for lossy compression; without it every pixel stays as it is.

    Raises:
        InputError: it is not there, or not a picture.
    """
    small = io.BytesIO()
    settings = {"lossless": True} if quality is None else {"quality": quality}
    try:
        with Image.open(path) as image:
            image.convert("RGB").save(small, "WEBP", **settings)
            width, height = image.size
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a picture") from error
    return Figure(data_uri(small.getvalue(), "image/webp"), width, height)


def read_sounds(folder: Path) -> tuple[Sound, ...]:
    """Every `<clip>.<kind>.wav` as MP3, by clip, recordings first.

    Raises:
        InputError: one of them cannot be read as audio.
    """
    found = [(SOUND_NAME.fullmatch(path.name), path) for path in sorted(folder.glob("*.wav"))]
    named = [(name["clip"], name["kind"], path) for name, path in found if name]
    named.sort(key=lambda sound: (sound[0], sound[1] != "recorded", sound[1]))
    return tuple(
        Sound(clip, kind.replace("-", " "), data_uri(as_mp3(path), "audio/mpeg"))
        for clip, kind, path in named
    )


def as_mp3(path: Path) -> bytes:
    """A sound file, made small."""
    small = io.BytesIO()
    try:
        audio, rate = soundfile.read(path, dtype=np.float32)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: cannot be read as audio") from error
    soundfile.write(small, audio, rate, format="MP3", compression_level=MP3_COMPRESSION)
    return small.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
