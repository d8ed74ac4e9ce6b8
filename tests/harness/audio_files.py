"""Sounds, broken files and settings for the tests of `ingest`."""

import io
from collections.abc import Callable, Container, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from mimi_dynamics.pipeline.params import IngestParams

WRITTEN_BY_SOUNDFILE = ("wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "voc")
WRITTEN_BY_FFMPEG = {  # container, codec and rate by ending
    "g722": ("g722", "g722", 16_000),
    "m4a": ("ipod", "aac", 24_000),
    "aac": ("adts", "aac", 24_000),
    "mka": ("matroska", "aac", 24_000),
    "opus": ("opus", "libopus", 24_000),
    "webm": ("webm", "libopus", 48_000),
    "ts": ("mpegts", "aac", 48_000),
    "avi": ("avi", "libmp3lame", 24_000),
    "wv": ("wv", "wavpack", 24_000),
    "tta": ("tta", "tta", 24_000),
    "ac3": ("ac3", "ac3", 48_000),
    "mp2": ("mp2", "mp2", 24_000),
}
FORMATS = (*WRITTEN_BY_SOUNDFILE, *WRITTEN_BY_FFMPEG)


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


def encode_as(ending: str, sound: np.ndarray) -> bytes:
    """Float [samples] at 24 kHz as bytes of the format of one of `FORMATS`.

    A few formats are written at another rate, as if the sound had been recorded slower or faster.
    """
    if ending in WRITTEN_BY_FFMPEG:
        return encode(sound, *WRITTEN_BY_FFMPEG[ending])
    file = io.BytesIO()
    soundfile.write(file, sound, 24_000, format=ending.upper())
    return file.getvalue()


def encode(sound: np.ndarray, container: str, codec: str, rate: int = 24_000) -> bytes:
    """Float [samples] as bytes of a format that FFmpeg writes, by its names for it."""
    return encode_tracks([sound], container, codec, rate)


def encode_tracks(
    tracks: Sequence[np.ndarray],
    container: str,
    codec: str,
    rate: int = 24_000,
    default: Container[int] | None = None,
    lost: Container[int] = (),
    late: Callable[[int], float] = lambda _: 0.0,
    bare: bool = False,
    pictures: bool = False,
    bit_rate: int = 0,
) -> bytes:
    """Several tracks of float [samples] as bytes of a format that FFmpeg writes.

    Args:
        tracks: one sound for each track.
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the encoder.
        rate: in Hz.
        default: which tracks are marked as default; None leaves that to FFmpeg.
        lost: numbers of packets that are not written, of each track.
        late: by how many seconds the time stamp of a packet is wrong, by its number.
        bare: whether encoder and container leave out their names and tables.
        pictures: whether 25 small ones a second come first.
        bit_rate: in bits a second, of each track; 0 leaves that to FFmpeg.
    """
    file = io.BytesIO()
    options = {"write_xing": "0", "id3v2_version": "0"} if bare and container == "mp3" else {}
    with av.open(file, "w", format=container, options=options) as media:
        streams = [media.add_stream(codec, rate=rate, layout="mono") for _ in tracks]
        for number, stream in enumerate(streams):
            if default is not None:
                marked = av.stream.Disposition(int(number in default))
                stream.disposition = marked
            if bare:
                stream.codec_context.flags |= av.codec.context.Flags.bitexact
            if bit_rate:
                stream.bit_rate = bit_rate
        if pictures:
            _add_pictures(media, max(len(sound) for sound in tracks) / rate)
        for stream, sound in zip(streams, tracks, strict=True):
            for number, packet in enumerate(_packets(stream, sound, rate)):
                if number not in lost:
                    if seconds := late(number):
                        packet.pts += round(seconds / packet.time_base)
                        packet.dts = packet.pts
                    media.mux(packet)
    return file.getvalue()


def _add_pictures(media: av.container.OutputContainer, seconds: float) -> None:
    stream = media.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    random = np.random.default_rng(0)
    for _ in range(round(25 * seconds)):
        image = random.integers(0, 256, (32, 32, 3), np.uint8)
        media.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
    media.mux(stream.encode(None))


def _packets(stream: av.AudioStream, sound: np.ndarray, rate: int) -> Iterator[av.Packet]:
    wanted = stream.codec_context.codec.audio_formats[0].name
    step = stream.codec_context.frame_size or 320
    resampler = av.AudioResampler(format=wanted, layout="mono", rate=rate, frame_size=step)
    samples = np.round(sound * 32767).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        yield from stream.encode(part)
    yield from stream.encode(None)


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
        "cut_long": False,
        "test_voices": [],
        "keep_copies": True,
        "splits": {"train": 0.5, "validation": 0.25, "test": 0.25},
        "asterisk": {"languages": ["en"]},
        "librispeech": {"subsets": ["dev-clean"]},
        "folder": {"path": "."},
        "latents": {"path": "", "frame_rate": 0.0},
        "voice_pattern": "",
        "voice_table": "",
        "engine": "local",
    }
    return IngestParams.model_validate(settings | changes)
