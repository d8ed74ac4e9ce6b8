"""Tell where another recording begins in a file that is nothing but packets, one after the other.

Such files (MP3, MP2, AAC in ADTS, AC-3) have no header and no time stamps, so that two of them in
one are a valid third. But an encoder that begins has heard nothing yet: what its first packet says
of the time before is silence, and the packet makes sense without those before it. So there is a
hole in the sound (`holes.py`), or the packet tells of silence if it is decoded alone.
"""

from dataclasses import dataclass

import av
import numpy as np

from mimi_dynamics.speech.holes import Holes
from mimi_dynamics.speech.samples import decibels, to_float, values_of

BARE = {"aac", "ac3", "eac3", "mp3"}  # FFmpeg's names of these containers; that of MP2 is mp3.
# What encoders write into the first frame of an MP3 file, after a header whose length depends on
# rate, channels and checksum.
MP3_TABLES = (b"Xing", b"Info", b"VBRI")
MP3_TABLE_PLACES = (13, 15, 21, 23, 36, 38)
# What some encoders of AAC, those of FFmpeg and FAAC, write into the first frame of a recording.
AAC_NAMES = (b"Lavc", b"libfaac")
AAC_NAME_BYTES = 40
AAC_NAMED_AGAIN = 256  # packets, after which FFmpeg writes its name again


@dataclass(frozen=True)
class Beginning:
    """How the first packet of a recording sounds if it is decoded alone.

    Attributes:
        samples: so many are of the time before the recording began.
        quiet: they are below this level, in dB of full scale.
        louder: what follows is so many dB above it, or it would be a pause.
        ended: or it is so many dB below what the packet before says of the same time.
        faded: in that many samples at their end little is left of the packet before, since windows
            of the transform go to zero there; 0 where there is no such window.
        delay: so many samples pass before the recording itself is heard, if not as many as those
            of the time before.
    """

    samples: int
    quiet: float
    louder: float
    ended: float = np.inf
    faded: int = 0
    delay: int = 0

    def may_be(self, heard: np.ndarray) -> bool:
        """Tell by [channels, samples] after the packets before if one is worth decoding alone.

        At a beginning the packet before has faded at the end of these samples, and what the packet
        itself says of the time before is `quiet`, or `ended` below the one before; all of that may
        be in the end, and both may add up there. HE-AAC, whose packets are twice as long, has its
        windows elsewhere.
        """
        if not self.faded or heard.shape[1] == 2 * self.samples:
            return True
        in_the_end = 10 * np.log10(4 * self.samples / self.faded)
        half = _level(heard[:, : self.samples // 2])
        end = _level(heard[:, self.samples - self.faded : self.samples])
        return end < max(half - self.ended, self.quiet) + in_the_end


# By codec: below what is left of the quietest pauses of speech. MP3 and MP2 do not blur sound into
# the time before it as the others do.
BEGINNINGS = {
    "aac": Beginning(1_024, -90.0, 12.0, 32.0, faded=32),
    "ac3": Beginning(256, -93.0, 12.0, 30.0, faded=16),
    "eac3": Beginning(256, -93.0, 12.0, 30.0, faded=16),
    "mp2": Beginning(240, -101.0, 24.0, delay=512),  # 481 of its filter, in whole blocks
    "mp3": Beginning(480, -60.0, 12.0),
}
RARE = 50  # In most files of MP3, fewer than one packet of so many makes sense alone.


class Joins:
    """Looks at the packets of one track, in their order.

    Args:
        media: the file.
        track: the track of it that is decoded.
    """

    def __init__(self, media: av.container.InputContainer, track: av.AudioStream) -> None:
        self._codec = track.codec_context.name.removesuffix("float")
        self._beginning = BEGINNINGS.get(self._codec) if media.format.name in BARE else None
        self._packets, self._alone, self._since_mark = 0, 0, 0
        self._decoder: av.AudioCodecContext | None = None
        self._holes: Holes | None = None
        if self._beginning is not None:
            self._decoder = _decoder_of(track.codec_context.name)
            self._holes = Holes(self._beginning.delay or self._beginning.samples)

    def is_first(self, packet: av.Packet, frames: list[av.AudioFrame]) -> bool:
        """Tell whether a packet is the first of a recording.

        Args:
            packet: the next of the file; also its first, so that packets are counted.
            frames: what it gives after those before it.
        """
        self._since_mark += 1
        if _is_marked(packet, self._codec):
            again = self._codec == "aac" and self._since_mark % AAC_NAMED_AGAIN == 0
            self._since_mark = 0
            first = not again
        else:
            first = bool(frames) and self._seems_first(packet, _values(frames[0]))
        if first and self._holes is not None:
            self._holes.begin()
        return first

    def _seems_first(self, packet: av.Packet, heard: np.ndarray) -> bool:
        """Tell by its sound, [channels, samples], whether a packet without a mark is a first."""
        if self._holes is None or self._beginning is None or self._decoder is None:
            return False
        if self._holes.ends_before(heard):
            return True
        if self._makes_no_sense_alone(packet):
            return False
        return _sounds_first(self._decoder, bytes(packet), heard, self._beginning)

    def _makes_no_sense_alone(self, packet: av.Packet) -> bool:
        """Tell whether a packet leans on others, or would be no exception if it did not."""
        if self._codec != "mp3":
            return False
        self._packets += 1
        if _leans_on_others(packet):
            return True
        self._alone += 1
        return self._alone > 1 + self._packets / RARE


def _decoder_of(codec: str) -> av.AudioCodecContext:
    decoder = av.CodecContext.create(codec, "r")
    if not isinstance(decoder, av.AudioCodecContext):
        raise TypeError(f"{codec}: is no codec of audio")
    return decoder


def _sounds_first(
    decoder: av.AudioCodecContext, content: bytes, heard: np.ndarray, first: Beginning
) -> bool:
    if not first.may_be(heard):
        return False
    decoder.flush_buffers()
    alone = _decoded(decoder, content)
    if alone is None or alone.shape != heard.shape or alone.shape[1] < first.samples:
        return False
    before = alone[:, : first.samples]
    level = _level(before)
    if not before.any():  # A pause of digital silence, or one that was not worth any bits.
        return False
    if level > first.quiet and _level(heard[:, : first.samples] - before) < level + first.ended:
        return False
    again = _decoded(decoder, content)  # With this, all that the packet says of the time after.
    rest = alone[:, first.samples :]
    after = rest if again is None else np.concatenate([rest, again], axis=1)
    return _level(after) > level + first.louder


def _decoded(decoder: av.AudioCodecContext, content: bytes) -> np.ndarray | None:
    try:
        frames = decoder.decode(av.Packet(content))
    except (av.FFmpegError, ValueError):
        return None
    return _values(frames[0]) if frames else None


def _values(frame: av.AudioFrame) -> np.ndarray:
    return to_float(values_of(frame), frame.format.name)


def _level(values: np.ndarray) -> float:
    """Give the level of the loudest channel of [channels, samples], in dB of full scale."""
    return float(decibels(np.square(values).mean(axis=1).max() if values.size else 0.0))


def _is_marked(packet: av.Packet, codec: str) -> bool:
    """Tell whether the encoder wrote into a packet that it is the first; it holds no sound yet."""
    head = memoryview(packet)
    if codec == "mp3":
        return any(bytes(head[at : at + 4]) in MP3_TABLES for at in MP3_TABLE_PLACES)
    if codec == "aac":
        start = bytes(head[:AAC_NAME_BYTES])
        return any(name in start for name in AAC_NAMES)
    return False


def _leans_on_others(packet: av.Packet) -> bool:
    """Tell whether a packet of MP3 has some of its bits in packets before it."""
    head = bytes(memoryview(packet)[:8]).ljust(8, b"\0")
    at = 4 if head[1] & 1 else 6  # after the checksum, if there is one
    mpeg_1 = head[1] & 8
    return bool(head[at] or (mpeg_1 and head[at + 1] & 128))
