"""Decode a media file frame by frame, past what is damaged, and say where sound is missing.

A frame that fails to decode is skipped, as FFmpeg's command does. Unlike that command, this never
joins what is on both sides of it: between frames that were no neighbours stands a `Break`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import av

from mimi_dynamics.speech.avi import Readable, between
from mimi_dynamics.speech.joins import Decoded, Joins
from mimi_dynamics.speech.samples import first_samples

# PyAV raises these on files that are not what they seem. Every FFmpegError is also one of the rest.
DECODING_ERRORS = (av.FFmpegError, OSError, ValueError, EOFError, LookupError, MemoryError)
# A gap is this much sound that the time stamps say is missing. The shortest packets of telephony
# hold 20 ms; Matroska rounds to 1 ms, and time stamps of Vorbis in Ogg are wrong by 5 ms.
GAP_SECONDS = 0.010
STEADY_FRAMES = 9  # Time stamps of recorders jitter, so the median of so many is looked at.
# Formats in which every frame has a checksum of what was encoded. Elsewhere encoders are known to
# have written wrong checksums into good files.
CHECKED = {"flac", "tta", "wavpack"}


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


def open_media(file: Readable, container: str) -> av.container.InputContainer:
    """Open a file, so that it is read and no other.

    Args:
        file: An open file.
        container: FFmpeg's name of the file format, or '' to recognise the format.

    Raises:
        One of `DECODING_ERRORS`.
    """
    return av.open(
        file,
        "r",
        format=container or None,
        options={"protocol_whitelist": "none"},  # Playlists must not open other files or URLs.
        metadata_errors="replace",
    )


def decode_track(
    media: av.container.InputContainer, track: av.AudioStream, file: Readable
) -> Iterator[av.AudioFrame | Break]:
    """Decode one track, and yield its frames with a `Break` wherever two were no neighbours.

    Args:
        media: A file that has just been opened.
        track: One of its audio streams, which has a decoder.
        file: The file itself.
    """
    if track.codec_context.name in CHECKED:
        track.codec_context.options = {"err_detect": "crccheck+explode"}
    items = frames_of(media, track, file)
    if media.format.name == "au" and track.duration:
        items = _as_long_as(items, track.duration)
    # Before a raw FLAC stream without its header, FFmpeg takes samples for units of 1/90000 s.
    in_samples = media.format.name == "flac"
    return _with_gaps(items, in_samples)


def frames_of(
    media: av.container.InputContainer, track: av.AudioStream, file: Readable
) -> Iterator[av.AudioFrame | Break]:
    """Decode one track, and yield its frames with a `Break` where some are known to be lost."""
    started = False
    for item, first in Joins(media, track).judged(_packets_of(media, track, file)):
        if isinstance(item, Break):
            yield item
            continue
        if started and first:
            yield Break("joined", 0.0)
        started = started or bool(item.frames)
        yield from item.frames


def _packets_of(
    media: av.container.InputContainer, track: av.AudioStream, file: Readable
) -> Iterator[Decoded | Break]:
    packets = media.demux(track)
    # The last packet of a WAV file that was cut is marked too, though its samples are good.
    heeds_marks = not track.codec_context.name.startswith("pcm")
    place: int | None = None
    while True:
        try:
            packet = next(packets, None)
        except DECODING_ERRORS:
            yield Break("damaged", 0.0)
            return
        if packet is None:
            return
        if media.format.name == "avi" and packet.pos is not None:
            reason = between(file, packet.pos if place is None else place, packet.pos)
            place = packet.pos
            if reason:
                yield Break(reason, 0.0)
        try:
            if heeds_marks and packet.is_corrupt:
                raise ValueError("marked as corrupt")
            yield Decoded(packet, packet.decode())
        except DECODING_ERRORS:
            yield Break("damaged", float((packet.duration or 0) * (packet.time_base or 0)))


def _as_long_as(
    items: Iterable[av.AudioFrame | Break], samples: int
) -> Iterator[av.AudioFrame | Break]:
    """End where the header of a file says that it ends, although FFmpeg takes the rest for sound.

    Args:
        items: frames of samples that were not compressed.
        samples: how many there are by the header.
    """
    beyond = 0.0
    for item in items:
        if isinstance(item, Break) or item.samples <= samples:
            samples -= 0 if isinstance(item, Break) else item.samples
            yield item
            continue
        beyond += (item.samples - samples) / item.sample_rate
        if samples:
            yield first_samples(item, samples)
        samples = 0
    if beyond:
        yield Break("joined", beyond)


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
            time = _time_of(item, in_samples)
            if time is not None:
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


def _time_of(frame: av.AudioFrame, in_samples: bool) -> float | None:
    """Give the time stamp of a frame in seconds; None if it has none."""
    if not in_samples:
        return frame.time
    return None if frame.pts is None else frame.pts / frame.sample_rate


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
