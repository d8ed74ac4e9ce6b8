"""Decode any audio file to 24 kHz mono samples, and write samples as FLAC.

FFmpeg decodes (through PyAV), channels are averaged, and FFmpeg's resampler changes the rate.
"""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile

from mimi_dynamics.pipeline.files import atomic_path

SAMPLE_RATE = 24_000
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz. The resampler's tables grow with the ratio of rates.
SILENCE_PEAK = 10 ** (-60 / 20)  # This peak is 60 dB below full scale.
CHUNK_SAMPLES = 1 << 16
# The limit on processor time for one recording. Without it, a file of 4 GB that starts like an MP3
# and then holds only zeros took 247 s.
MAX_WORK_SECONDS = 60.0
FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63, "flt": 1, "dbl": 1}

# PyAV raises these on files that are not what they seem. Every FFmpegError is also one of the rest.
DECODING_ERRORS = (av.FFmpegError, OSError, ValueError, EOFError, LookupError, MemoryError)


class AudioError(Exception):
    """A recording cannot be used. The message is the reason, as a single snake_case word."""


def read_audio(path: Path, max_seconds: float, container: str = "") -> np.ndarray:
    """Decode a file, average its channels and resample to 24 kHz.

    This reads no other file, even if the file is a playlist that names some, and stops as soon as
    the recording is known to be too long. A recording that exceeds full scale, as float formats
    allow, is scaled down to it.

    Args:
        path: A regular file.
        max_seconds: Longer recordings are refused.
        container: FFmpeg's name of the file format, or '' to recognise the format.

    Returns:
        float32 of shape [samples], within [-1, 1]. It may be empty if the recording is shorter
        than a millisecond.

    Raises:
        OSError: the file cannot be read at all.
        AudioError: `empty`, `undecodable`, `bad_rate`, `too_long`, `too_slow` or `not_finite`.
    """
    if path.stat().st_size == 0:
        raise AudioError("empty")
    with path.open("rb") as file:
        return decode_audio(file, max_seconds, container)


def decode_audio(file: BinaryIO, max_seconds: float, container: str = "") -> np.ndarray:
    """Decode an open file; arguments and result are those of `read_audio`.

    Raises:
        AudioError: for the reasons that `read_audio` lists.
    """
    timed = _TimedFile(file, max(MAX_WORK_SECONDS, max_seconds))
    try:
        mono, rate = _decode(timed, max_seconds, container)
    except DECODING_ERRORS as error:
        raise AudioError("too_slow" if timed.too_slow else "undecodable") from error
    if timed.too_slow:  # For some formats, FFmpeg takes a read error as the end of the file.
        raise AudioError("too_slow")
    if mono.size == 0:
        raise AudioError("empty")
    if not np.isfinite(mono).all():
        raise AudioError("not_finite")
    peak = float(np.abs(mono).max())
    return resample(mono / max(peak, 1.0), rate)


class _TimedFile:
    """A file that refuses to be read once this thread has worked on it for too long.

    FFmpeg itself cannot be stopped while it searches a file for something that makes sense.
    The limit is on the processor time of the thread, not on clock time, so that no recording is
    lost because a machine was busy or suspended.
    """

    def __init__(self, file: BinaryIO, seconds: float) -> None:
        self.name = getattr(file, "name", "")
        self.seek, self.tell = file.seek, file.tell
        self.too_slow = False
        self._read = file.read
        self._end = time.thread_time() + seconds

    def read(self, size: int) -> bytes:
        self.too_slow |= time.thread_time() > self._end
        if self.too_slow:
            raise TimeoutError
        return self._read(size)


def _decode(file: _TimedFile, max_seconds: float, container: str) -> tuple[np.ndarray, int]:
    """Give mono float32 [samples] at the file's own rate, and that rate in Hz."""
    with av.open(
        file,
        format=container or None,
        options={"protocol_whitelist": "none"},  # Playlists must not open other files or URLs.
        metadata_errors="replace",
    ) as media:
        if not media.streams.audio:
            raise AudioError("undecodable")
        parts, samples, rate = [], 0, 0
        for frame in media.decode(audio=0):
            # The rate is taken from the frames, since some formats give half of it in their header.
            rate = rate or frame.sample_rate
            if not MIN_RATE <= rate <= MAX_RATE:
                raise AudioError("bad_rate")
            if frame.sample_rate != rate:
                raise AudioError("undecodable")  # The rate changes midway.
            parts.append(_mono(frame))
            samples += frame.samples
            if samples > max_seconds * rate:
                raise AudioError("too_long")
    return (np.concatenate(parts) if parts else np.zeros(0, np.float32)), rate


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """Average the channels of a frame into float32 [samples], where full scale is 1.

    FFmpeg's own downmix would not do, since it has no rule for channels that the file does not
    name.
    """
    name = frame.format.name.removesuffix("p")
    values = frame.to_ndarray().astype(np.float64)
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if name == "u8":
        values -= FULL_SCALE["u8"]
    with np.errstate(over="ignore", invalid="ignore"):  # `decode_audio` refuses such values later.
        return (values.mean(axis=0) / FULL_SCALE[name]).astype(np.float32)


def resample(mono: np.ndarray, rate: int) -> np.ndarray:
    """Resample float32 [samples] from `rate` Hz to 24 kHz, as float32 within [-1, 1].

    The length is within one sample of `samples · 24000 / rate`. It is 0 if the input is shorter
    than half the filter (16 samples at the lower rate).
    """
    if rate == SAMPLE_RATE:
        return mono
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    frames = [out for chunk in _frames(mono, rate) for out in resampler.resample(chunk)]
    parts = [out.to_ndarray()[0] for out in [*frames, *resampler.resample(None)]]
    # Close to full scale, the filter overshoots a little.
    return np.clip(np.concatenate(parts), -1, 1) if parts else np.zeros(0, np.float32)


def _frames(mono: np.ndarray, rate: int) -> Iterator[av.AudioFrame]:
    for start in range(0, mono.size, CHUNK_SAMPLES):
        chunk = np.ascontiguousarray(mono[None, start : start + CHUNK_SAMPLES])
        frame = av.AudioFrame.from_ndarray(chunk, format="flt", layout="mono")
        frame.sample_rate = rate
        frame.pts = start
        yield frame


def to_pcm(mono: np.ndarray) -> np.ndarray:
    """Convert float [samples] within [-1, 1] to int16, rounded to the nearest value."""
    return np.clip(np.rint(mono * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)


def write_flac(path: Path, pcm: np.ndarray) -> None:
    """Write int16 [samples] as 24 kHz mono FLAC, atomically. Equal samples give equal bytes."""
    # Python writes the file, since on a full disk libsndfile only says "System error".
    flac = io.BytesIO()
    soundfile.write(flac, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    with atomic_path(path) as temporary:
        temporary.write_bytes(flac.getvalue())
