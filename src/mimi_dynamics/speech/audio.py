"""Decode any audio file to 24 kHz mono samples, and write samples as FLAC.

A recording comes in parts: stretches of sound without a break, and what is missing between them.
Most recordings are one part.
"""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile

from mimi_dynamics.pipeline.files import atomic_path
from mimi_dynamics.speech.channels import OFFSET_SECONDS, mix
from mimi_dynamics.speech.decoding import DECODING_ERRORS, AudioError, decode_track, open_media
from mimi_dynamics.speech.stretches import Limits, Stretch, split
from mimi_dynamics.speech.tracks import choose_track, playable_tracks

SAMPLE_RATE = 24_000
SILENCE_PEAK = 10 ** (-60 / 20)  # This peak is 60 dB below full scale.
CHUNK_SAMPLES = 1 << 16
# The limit on processor time for one recording, to which every second of sound adds another.
# Without it, a file of 4 GB that starts like an MP3 and then holds only zeros took 247 s.
MAX_WORK_SECONDS = 60.0


@dataclass(frozen=True)
class Part:
    """A part of a recording.

    Attributes:
        start: in seconds from the beginning of the recording.
        seconds: how much of the recording this part takes.
        sound: float32 [samples] at 24 kHz, within [-1, 1].
        reason: why this part cannot be used: `damaged`, `gap`, `joined` or `not_finite`, where it
            has no sound, or `silent`; '' if it can be used.
        notes: what was done to its sound, as `channels.mix` words it, or `track 2 of 3`, or `long`
            if the recording was cut because it is long.
    """

    start: float
    seconds: float
    sound: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    reason: str = ""
    notes: tuple[str, ...] = ()


def read_parts(path: Path, limits: Limits, container: str = "") -> Iterator[Part]:
    """Decode a file, mix its channels into one and resample to 24 kHz, part by part.

    This reads no other file, even if the file is a playlist that names some. A part that exceeds
    full scale, as float formats allow, is scaled down to it.

    Args:
        path: A regular file.
        limits: How long parts may be.
        container: FFmpeg's name of the file format, or '' to recognise the format.

    Yields:
        The parts in the order of time. At most two are held in memory. If an error is raised after
        some of them, they must not be used.

    Raises:
        OSError: the file cannot be read at all.
        AudioError: `empty`, `undecodable`, `bad_rate`, `too_long` or `too_slow`.
    """
    if path.stat().st_size == 0:
        raise AudioError("empty")
    with path.open("rb") as file:
        yield from decode_parts(file, limits, container)


def decode_parts(file: BinaryIO, limits: Limits, container: str = "") -> Iterator[Part]:
    """Decode an open file; arguments and parts are those of `read_parts`.

    Raises:
        AudioError: for the reasons that `read_parts` lists.
    """
    timed = _TimedFile(file, max(MAX_WORK_SECONDS, limits.max_seconds))
    found = ""
    try:
        with _opened(timed, container, limits) as (media, track, notes):
            for stretch in split(decode_track(media, track, timed), limits):
                part = _part(stretch, notes)
                found = "sound" if not stretch.reason else found or "damage"
                if not part.reason:
                    timed.allow(part.seconds)
                yield part
    except DECODING_ERRORS as error:
        raise AudioError("too_slow" if timed.too_slow else "undecodable") from error
    if timed.too_slow:  # For some formats, FFmpeg takes a read error as the end of the file.
        raise AudioError("too_slow")
    if found != "sound":
        raise AudioError("undecodable" if found else "empty")


def read_audio(path: Path, max_seconds: float, container: str = "") -> np.ndarray:
    """Decode a file as `read_parts` does, and join what sound it has.

    Args:
        path: A regular file.
        max_seconds: Longer recordings are refused.
        container: FFmpeg's name of the file format, or '' to recognise the format.

    Returns:
        float32 of shape [samples] at 24 kHz, within [-1, 1]. It may be empty if the recording is
        shorter than a millisecond.

    Raises:
        OSError: the file cannot be read at all.
        AudioError: for the reasons that `read_parts` lists, or `not_finite`.
    """
    return _joined(read_parts(path, Limits(max_seconds), container))


def decode_audio(file: BinaryIO, max_seconds: float, container: str = "") -> np.ndarray:
    """Decode an open file; arguments and result are those of `read_audio`.

    Raises:
        AudioError: for the reasons that `read_audio` lists.
    """
    return _joined(decode_parts(file, Limits(max_seconds), container))


def _joined(parts: Iterator[Part]) -> np.ndarray:
    sounds = []
    for part in parts:
        if part.reason == "not_finite":
            raise AudioError(part.reason)
        sounds.append(part.sound)
    return np.concatenate(sounds)


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

    def allow(self, seconds: float) -> None:
        """Allow for more work."""
        self._end += seconds


@contextmanager
def _opened(
    file: _TimedFile, container: str, limits: Limits
) -> Iterator[tuple[av.container.InputContainer, av.AudioStream, tuple[str, ...]]]:
    """Open a file, and give it with the track to use and what is to be noted about that."""
    with open_media(file, container) as media:
        count = len(playable_tracks(media))
        if count == 0:
            raise AudioError("undecodable")
        if count == 1:
            yield media, playable_tracks(media)[0], ()
            return
        chosen = choose_track(media, file.allow, limits.min_seconds)
    file.seek(0)
    with open_media(file, container) as media:
        yield media, playable_tracks(media)[chosen], (f"track {chosen + 1} of {count}",)


def _part(stretch: Stretch, notes: tuple[str, ...]) -> Part:
    """Make one 24 kHz channel of a stretch."""
    if stretch.reason:
        return Part(stretch.start, stretch.seconds, reason=stretch.reason)
    if not np.isfinite(stretch.channels).all():
        return Part(stretch.start, stretch.seconds, reason="not_finite")
    mono, mixing = mix(stretch.channels, stretch.rate)
    # A constant is no sound, however far it is from zero.
    centre = float(mono.mean()) if stretch.seconds >= OFFSET_SECONDS else 0.0
    low, high = float(mono.min()), float(mono.max())
    silent = max(high - centre, centre - low) < SILENCE_PEAK
    sound = resample(mono / np.float32(max(high, -low, 1.0)), stretch.rate)
    return Part(
        stretch.start,
        stretch.seconds,
        sound,
        "silent" if silent else "",
        (*notes, *mixing, *(["long"] if stretch.cut else [])),
    )


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
