"""Figures and sounds as small data URIs, so that the report page is a single file."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.report.parts import Figure, Sound

MP3_COMPRESSION = 0.8  # from 0 to 1; gives about 35 kbit/s for speech at 24 kHz
SOUND_NAME = re.compile(r"(?P<clip>.+)\.(?P<kind>[\w-]+)\.wav")


def read_figure(path: Path, quality: int | None = None) -> Figure:
    """Read a picture file and compress it.

    Args:
        path: the PNG file.
        quality: quality of lossy compression from 0 to 100; None keeps every pixel as it is.

    Raises:
        InputError: if the file is missing or is not a picture.
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
    """Read every `<clip>.<kind>.wav` of a folder as MP3, sorted by clip, the recording first.

    Raises:
        InputError: if one of them cannot be read as audio.
    """
    results = [(SOUND_NAME.fullmatch(path.name), path) for path in sorted(folder.glob("*.wav"))]
    named = [(name["clip"], name["kind"], path) for name, path in results if name]
    named.sort(key=lambda sound: (sound[0], sound[1] != "recorded", sound[1]))
    return tuple(
        Sound(clip, kind.replace("-", " "), data_uri(as_mp3(path), "audio/mpeg"))
        for clip, kind, path in named
    )


def as_mp3(path: Path) -> bytes:
    """Read a sound file and compress it to MP3.

    Raises:
        InputError: if it cannot be read as audio.
    """
    small = io.BytesIO()
    try:
        audio, rate = soundfile.read(path, dtype=np.float32)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: cannot be read as audio") from error
    soundfile.write(small, audio, rate, format="MP3", compression_level=MP3_COMPRESSION)
    return small.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Write bytes as a data URI.

    Args:
        content: the bytes.
        kind: their media type, for example `audio/mpeg`.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
