"""Tell where another recording begins in a file that is nothing but packets, one after the other.

Such files (MP3, MP2, AAC in ADTS, AC-3) have no header and no time stamps, so that two of them in
one are a valid third. But an encoder that begins has heard nothing yet: what its first packet says
of the time before is silence, and the packet makes sense without those before it. So there is a
hole in the sound (`holes.py`), or the packet tells of silence if it is decoded alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import av
import numpy as np

from mimi_dynamics.speech.holes import Holes, block_levels
from mimi_dynamics.speech.samples import decibels, runs_of, to_float, values_of

BARE = {"aac", "ac3", "eac3", "mp3"}  # FFmpeg's names of these containers; that of MP2 is mp3.
# What encoders write into the first frame of an MP3 file, after a header whose length depends on
# rate, channels and checksum.
MP3_TABLES = (b"Xing", b"Info", b"VBRI")
MP3_TABLE_PLACES = (13, 15, 21, 23, 36, 38)
# What some encoders of AAC, those of FFmpeg and FAAC, write into the first frame of a recording.
AAC_NAMES = (b"Lavc", b"libfaac")
AAC_NAME_BYTES = 40
AAC_NAMED_AGAIN = 256  # packets, after which FFmpeg writes its name again


class Decoded(NamedTuple):
    """A packet, and the frames that it gives after those before it."""

    packet: av.Packet
    frames: list[av.AudioFrame]


@dataclass(frozen=True)
class Beginning:
    """How the first packet of a recording sounds if it is decoded alone.

    Attributes:
        samples: so many are of the time before the recording began.
        quiet: they are below this level, in dB of full scale.
        louder: what follows is so many dB above it, or it would be a pause.
        ended: or it is so many dB below what the packet before says of the same time.
        place: from which sample to which nothing of the packet before is heard any more, and
            nothing but what this one says of the time before; None if there is no such place.
        rise: what follows is so many dB above that place.
        delay: so many samples pass before the recording itself is heard.
    """

    samples: int
    quiet: float
    louder: float
    ended: float = np.inf
    place: tuple[int, int] | None = None
    rise: float = 0.0
    delay: int = 0

    def may_be(self, sound: np.ndarray, ahead: np.ndarray | None) -> np.ndarray:
        """Tell which packets are worth decoding alone, as (packets,) bool.

        In these, that place is quieter by `rise` than what follows it. In pauses and in most of
        speech it is not; to decode every packet twice took as long as all else.

        Args:
            sound: [packets, channels, samples] after the packets before.
            ahead: [channels, samples] of the packet after these.
        """
        if self.place is None:
            return np.ones(len(sound), bool)
        place = _levels(sound[:, :, slice(*self.place)])
        if sound.shape[2] > self.delay:
            after = _levels(sound[:, :, self.delay :])
        else:
            last = np.inf if ahead is None else _levels(ahead[None])[0]
            after = np.append(_levels(sound)[1:], last)
        return after > place + self.rise


# By codec: below what is left of the quietest pauses of speech. MP3 and MP2 do not blur sound into
# the time before it as the others do.
BEGINNINGS = {
    "aac": Beginning(1_024, -90.0, 12.0, 32.0, (992, 1_024), 14.0, 1_024),
    "ac3": Beginning(256, -93.0, 12.0, 30.0, (224, 256), 17.0, 256),
    "eac3": Beginning(256, -93.0, 12.0, 30.0, (224, 256), 17.0, 256),
    "mp2": Beginning(240, -101.0, 24.0, place=(320, 448), rise=9.0, delay=512),
    "mp3": Beginning(480, -60.0, 12.0, delay=480),
}
RARE = 50  # In most files of MP3, fewer than one packet of so many makes sense alone.
NOTHING = float(decibels(0.0))
TOGETHER = 32  # packets that are looked at in one go: one by one, that took longer than decoding
Item = TypeVar("Item")


class Joins:
    """Looks at the packets of one track, in their order.

    Args:
        media: the file.
        track: the track of it that is decoded.
    """

    def __init__(self, media: av.container.InputContainer, track: av.AudioStream) -> None:
        self._codec = track.codec_context.name.removesuffix("float")
        self._packets, self._alone, self._since_mark = 0, 0, 0
        beginning = BEGINNINGS.get(self._codec) if media.format.name in BARE else None
        self._ear: Ear | None = None
        if beginning is not None:
            self._ear = Ear(beginning, _decoder_of(track), Holes(beginning.delay))

    def judged(self, items: Iterable[Decoded | Item]) -> Iterator[tuple[Decoded | Item, bool]]:
        """Yield all items, and of each whether it is the first packet of a recording.

        Args:
            items: packets, the first of the file among them, and whatever else is between them.
        """
        if self._ear is None:
            for item in items:
                yield item, isinstance(item, Decoded) and self._mark(item.packet) == "first"
            return
        waiting: list[Decoded | Item] = []
        for item in items:
            waiting.append(item)
            if len(waiting) > TOGETHER:
                firsts = self._judge(self._ear, waiting[:-1], waiting[-1])
                yield from zip(waiting[:-1], firsts, strict=True)
                waiting = waiting[-1:]
        yield from zip(waiting, self._judge(self._ear, waiting, None), strict=True)

    def _judge(
        self, ear: "Ear", items: Sequence[Decoded | Item], ahead: Decoded | Item | None
    ) -> list[bool]:
        """Tell which of some items is a first packet, given the item after them."""
        firsts = [False] * len(items)
        places = [n for n, of in enumerate(items) if isinstance(of, Decoded) and of.frames]
        for n, of in enumerate(items):  # An encoder may give its name in a packet without sound.
            if isinstance(of, Decoded) and not of.frames:
                firsts[n] = self._mark(of.packet) == "first"
        with_sound = [cast("Decoded", items[n]) for n in places]
        next_one = [ahead.frames[0]] if isinstance(ahead, Decoded) and ahead.frames else []
        frames = [of.frames[0] for of in with_sound] + next_one
        done = 0
        for sound in runs_of(frames):
            count = min(len(sound), len(places) - done)
            rest = frames[done + count : done + count + 1]
            following = _values(rest[0]) if rest else None
            packets = [of.packet for of in with_sound[done : done + count]]
            for n in self._firsts(ear, packets, sound[:count], following):
                firsts[places[done + n]] = True
            done += count
        return firsts

    def _firsts(
        self,
        ear: "Ear",
        packets: Sequence[av.Packet],
        sound: np.ndarray,
        ahead: np.ndarray | None,
    ) -> Iterator[int]:
        """Yield the places of first packets among some whose sound has one shape."""
        may_be, levels = ear.beginning.may_be(sound, ahead), block_levels(sound)
        marks = [self._mark(packet) for packet in packets]
        start = 0
        while start < len(packets):
            stop = next((n for n in range(start, len(packets)) if marks[n]), len(packets))
            hole = ear.holes.first_end(levels[start:stop], sound.shape[2])
            until = stop if hole is None else start + hole
            sensible = (n for n in range(start, until) if self._makes_sense_alone(packets[n]))
            alone = (n for n in sensible if may_be[n] and ear.hears_first(packets[n], sound[n]))
            found = next(alone, None)
            if found is None and (hole is not None or [*marks, ""][until] == "first"):
                found = until
            if found is not None:
                ear.holes.begin()
                yield found
            start = 1 + (until if found is None else found)

    def _mark(self, packet: av.Packet) -> str:
        """Tell if a packet bears the mark of its encoder, as the `first` one or `again`."""
        self._since_mark += 1
        if not _is_marked(packet, self._codec):
            return ""
        again = self._codec == "aac" and self._since_mark % AAC_NAMED_AGAIN == 0
        self._since_mark = 0
        return "again" if again else "first"

    def _makes_sense_alone(self, packet: av.Packet) -> bool:
        """Tell whether a packet leans on no others, which is an exception where many do."""
        if self._codec != "mp3":
            return True
        self._packets += 1
        if _leans_on_others(packet):
            return False
        self._alone += 1
        return self._alone <= 1 + self._packets / RARE


@dataclass(frozen=True)
class Ear:
    """What hears whether packets of one codec are first ones.

    Attributes:
        beginning: how those sound.
        decoder: decodes packets alone.
        holes: hears the packets after each other.
    """

    beginning: Beginning
    decoder: av.AudioCodecContext
    holes: Holes

    def hears_first(self, packet: av.Packet, heard: np.ndarray) -> bool:
        """Tell whether a packet is a first one if it is decoded alone.

        Args:
            packet: the packet.
            heard: [channels, samples] of it after those before.
        """
        first, content = self.beginning, bytes(packet)
        self.decoder.flush_buffers()
        alone = _decoded(self.decoder, content)
        if alone is None or alone.shape != heard.shape or alone.shape[1] < first.samples:
            return False
        before = alone[:, : first.samples]
        level = _levels(before)
        if level <= NOTHING:  # A pause of digital silence, or one that was not worth any bits.
            return False
        said_before = heard[:, : first.samples] - before
        if level > first.quiet and _levels(said_before) < level + first.ended:
            return False
        again = _decoded(self.decoder, content)  # With this, all that it says of the time after.
        rest = alone[:, first.samples :]
        after = rest if again is None else np.concatenate([rest, again], axis=1)
        return bool(_levels(after) > level + first.louder)


def _decoder_of(track: av.AudioStream) -> av.AudioCodecContext:
    decoder = av.CodecContext.create(track.codec_context.name, "r")
    if not isinstance(decoder, av.AudioCodecContext):
        raise TypeError(f"{track.codec_context.name}: is no codec of audio")
    return decoder


def _decoded(decoder: av.AudioCodecContext, content: bytes) -> np.ndarray | None:
    try:
        frames = decoder.decode(av.Packet(content))
    except (av.FFmpegError, ValueError):
        return None
    return _values(frames[0]) if frames else None


def _values(frame: av.AudioFrame) -> np.ndarray:
    return to_float(values_of(frame), frame.format.name)


def _levels(values: np.ndarray) -> np.ndarray:
    """Give the levels of the loudest channels of [..., channels, samples], in dB of full scale."""
    if not values.size:
        return decibels(np.zeros(values.shape[:-2]))
    with np.errstate(over="ignore", invalid="ignore"):  # `audio` refuses such values later.
        power = np.einsum("...t,...t->...", values, values) / values.shape[-1]
        return decibels(power.max(axis=-1))


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
