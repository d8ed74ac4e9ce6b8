"""Tell where another recording begins in a file that is nothing but packets, one after the other.

Such files (MP3, MP2, AAC in ADTS, AC-3) have no header and no time stamps, so that two of them in
one are a valid third. But an encoder that begins has heard nothing yet: what its first packet says
of the time before is silence, and the packet makes sense without those before it. So there is a
hole in the sound (`holes.py`), or the packet tells of silence if it is decoded alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar, cast

import av
import numpy as np

from mimi_dynamics.speech.beginnings import BEGINNINGS, Ear, decoder_of
from mimi_dynamics.speech.holes import Holes, block_levels
from mimi_dynamics.speech.samples import float_values, runs_of

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


RARE = 50  # In most files of MP3, fewer than one packet of so many makes sense alone.
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
            self._ear = Ear(beginning, decoder_of(track), Holes(beginning.delay))

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
        self, ear: Ear, items: Sequence[Decoded | Item], ahead: Decoded | Item | None
    ) -> list[bool]:
        """Tell which of some items is a first packet, given the item after them."""
        # In their order: it is counted how long ago a mark was seen.
        marks = [self._mark(of.packet) if isinstance(of, Decoded) else "" for of in items]
        # An encoder may give its name in a packet without sound.
        firsts = [
            mark == "first" and not _sounds(of) for of, mark in zip(items, marks, strict=True)
        ]
        places = [n for n, of in enumerate(items) if _sounds(of)]
        frames = [cast("Decoded", of).frames[0] for of in (*items, ahead) if _sounds(of)]
        done = 0
        for sound in runs_of(frames):
            run = places[done : done + len(sound)]  # without what is ahead
            done += len(run)
            after = float_values(frames[done]) if done < len(frames) else None
            packets = [(cast("Decoded", items[n]).packet, marks[n]) for n in run]
            for n in self._firsts(ear, packets, sound[: len(run)], after):
                firsts[run[n]] = True
        return firsts

    def _firsts(
        self,
        ear: Ear,
        packets: Sequence[tuple[av.Packet, str]],
        sound: np.ndarray,
        ahead: np.ndarray | None,
    ) -> Iterator[int]:
        """Yield the places of first packets among some with their marks and sound of one shape."""
        may_be, levels = ear.beginning.may_be(sound, ahead), block_levels(sound)
        start = 0
        while start < len(packets):
            marked = (n for n in range(start, len(packets)) if packets[n][1])
            stop = next(marked, len(packets))
            hole = ear.holes.first_end(levels[start:stop], sound.shape[2])
            until = stop if hole is None else start + hole
            sensible = (n for n in range(start, until) if self._makes_sense_alone(packets[n][0]))
            alone = (n for n in sensible if may_be[n] and ear.hears_first(packets[n][0], sound[n]))
            found = next(alone, until)
            start = found + 1
            if found < stop or (stop < len(packets) and packets[stop][1] == "first"):
                ear.holes.begin()
                yield found

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


def _sounds(item: object) -> bool:
    """Tell whether an item is a packet that gives frames."""
    return isinstance(item, Decoded) and bool(item.frames)


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
