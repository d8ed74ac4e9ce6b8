"""Decode a media file frame by frame, past what is damaged, and say where sound is missing.

A frame that fails to decode is skipped, as FFmpeg's command does. Unlike that command, this never
joins what is on both sides of it: between frames that were no neighbours stands a `Break`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

import av
import numpy as np

# PyAV raises these on files that are not what they seem. Every FFmpegError is also one of the rest.
DECODING_ERRORS = (av.FFmpegError, OSError, ValueError, EOFError, LookupError, MemoryError)
# A gap is this much sound that the time stamps say is missing. The shortest packets of telephony
# hold 20 ms; Matroska rounds to 1 ms, and time stamps of Vorbis in Ogg are wrong by 5 ms.
GAP_SECONDS = 0.010
STEADY_FRAMES = 9  # Time stamps of recorders jitter, so the median of so many is looked at.
# Formats in which every frame has a checksum of what was encoded. Elsewhere encoders are known to
# have written wrong checksums into good files.
CHECKED = {"flac", "tta", "wavpack"}
FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63, "flt": 1, "dbl": 1}
# What encoders write into the first frame of an MP3 file, after a header whose length depends on
# rate, channels and checksum.
MP3_TABLES = (b"Xing", b"Info", b"VBRI")
MP3_TABLE_PLACES = (13, 15, 21, 23, 36, 38)
# What some encoders of AAC, those of FFmpeg and FAAC, write into the first frame of a recording.
AAC_NAMES = (b"Lavc", b"libfaac")
AAC_NAME_BYTES = 40


class AudioError(Exception):
    """A recording cannot be used. The message is the reason, as a single snake_case word."""


@dataclass(frozen=True)
class Break:
    """What follows was no neighbour of what came before.

    Attributes:
        reason: `damaged` if bytes were not what they should be, `gap` if the time stamps leave
            time out, `joined` if another recording begins.
        seconds: how much sound is missing, as far as that is known.
    """

    reason: str
    seconds: float


def open_media(file: BinaryIO, container: str) -> av.container.InputContainer:
    """Open a file, so that it is read and no other.

    Args:
        file: An open file.
        container: FFmpeg's name of the file format, or '' to recognise the format.

    Raises:
        One of `DECODING_ERRORS`.
    """
    return av.open(
        file,
        format=container or None,
        options={"protocol_whitelist": "none"},  # Playlists must not open other files or URLs.
        metadata_errors="replace",
    )


def decode_track(
    media: av.container.InputContainer, track: av.AudioStream
) -> Iterator[av.AudioFrame | Break]:
    """Decode one track, and yield its frames with a `Break` wherever two were no neighbours.

    Args:
        media: A file that has just been opened.
        track: One of its audio streams, which has a decoder.
    """
    if track.codec_context.name in CHECKED:
        track.codec_context.options = {"err_detect": "crccheck+explode"}
    # Before a raw FLAC stream without its header, FFmpeg takes samples for units of 1/90000 s.
    in_samples = media.format.name == "flac"
    return _with_gaps(frames_of(media, track), in_samples)


def frames_of(
    media: av.container.InputContainer, track: av.AudioStream
) -> Iterator[av.AudioFrame | Break]:
    """Decode one track, and yield its frames with a `Break` where some are known to be lost."""
    packets = media.demux(track)
    codec = track.codec_context.name
    # The last packet of a WAV file that was cut is marked too, though its samples are good.
    heeds_marks = not codec.startswith("pcm")
    started = False
    while True:
        try:
            packet = next(packets, None)
        except DECODING_ERRORS:
            yield Break("damaged", 0.0)
            return
        if packet is None:
            return
        try:
            if heeds_marks and packet.is_corrupt:
                raise ValueError("marked as corrupt")
            frames = packet.decode()
        except DECODING_ERRORS:
            yield Break("damaged", float((packet.duration or 0) * (packet.time_base or 0)))
            continue
        if started and _is_first(packet, codec):
            yield Break("joined", 0.0)
            continue
        started = started or bool(frames)
        yield from frames


def _is_first(packet: av.Packet, codec: str) -> bool:
    """Tell whether a packet says that it is the first of a recording; it holds no sound yet."""
    head = memoryview(packet)
    if codec.startswith("mp3"):
        return any(bytes(head[at : at + 4]) in MP3_TABLES for at in MP3_TABLE_PLACES)
    if codec == "aac":
        start = bytes(head[:AAC_NAME_BYTES])
        return any(name in start for name in AAC_NAMES)
    return False


def _with_gaps(
    items: Iterable[av.AudioFrame | Break], in_samples: bool
) -> Iterator[av.AudioFrame | Break]:
    """Add a `Break` where time stamps jump, and tell by them how much is missing at the others.

    Time stamps are compared with the seconds of sound so far. Their difference, which is called
    late here, is the same throughout a recording without gaps.
    """
    ahead: deque[tuple[av.AudioFrame, float]] = deque()
    behind: deque[float] = deque(maxlen=STEADY_FRAMES)
    heard, late, known = 0.0, 0.0, 0.0
    pending: Break | None = None
    for item in chain(items, [None]):
        if isinstance(item, av.AudioFrame):
            if item.pts is not None:
                time = item.pts / item.sample_rate if in_samples else item.time
                late = time - heard
            ahead.append((item, late))
            heard += item.samples / item.sample_rate
        while ahead and (len(ahead) == STEADY_FRAMES or not isinstance(item, av.AudioFrame)):
            usual = _median([late for _, late in ahead])
            frame, at = ahead.popleft()
            missing = at - known if behind else 0.0
            if pending is not None:
                yield Break(pending.reason, max(missing, pending.seconds))
                pending = None
                behind.clear()
            elif behind and min(abs(missing), abs(usual - known)) > GAP_SECONDS:
                yield Break("gap" if missing > 0 else "joined", max(missing, 0.0))
                behind.clear()
            behind.append(at)
            known = _median(behind)
            yield frame
        if isinstance(item, Break):
            seconds = item.seconds + (pending.seconds if pending else 0.0)
            pending = Break(pending.reason if pending else item.reason, seconds)
    if pending is not None:
        yield pending


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def to_float(frame_values: np.ndarray, form: str) -> np.ndarray:
    """Scale decoded values to float32 of the same shape, where full scale is 1.

    Args:
        frame_values: Of any shape.
        form: FFmpeg's name of the sample format.
    """
    name = form.removesuffix("p")
    if name == "u8":
        frame_values = frame_values.astype(np.int16) - FULL_SCALE["u8"]
    with np.errstate(over="ignore", invalid="ignore"):  # `audio` refuses such values later.
        return frame_values.astype(np.float32) * np.float32(1 / FULL_SCALE[name])


def values_of(frame: av.AudioFrame) -> np.ndarray:
    """Give the values of a frame as they are, [channels, samples]."""
    values = frame.to_ndarray()
    return values if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels).T
