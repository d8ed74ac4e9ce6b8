"""What stands between two packets of an AVI file, whose time stamps only count the packets."""

import re
import struct
from typing import Protocol

HEAD = struct.Struct("<4sI")  # of a chunk: its name, and how many bytes follow
LISTS = (b"RIFF", b"LIST")  # chunks of chunks, whose own kind comes first
# Data of a stream by its number, indices, and padding.
CHUNK = re.compile(rb"\d\d[a-z]{2}|ix\d\d|idx1|JUNK|rec ")


class Readable(Protocol):
    """What is asked of an open file."""

    def read(self, size: int, /) -> bytes:
        """Read so many bytes, or fewer at the end."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""
        ...

    def tell(self) -> int:
        """Give the place where it is."""
        ...


def between(file: Readable, start: int, end: int) -> str:
    """Follow the chunks of an AVI file from one packet to the next.

    Args:
        file: the open file; it is left where it was.
        start: where the sound of a packet begins, after the head of its chunk.
        end: where that of a later packet of the same track begins.

    Returns:
        '' if each chunk begins where the one before it ends, `joined` if another file begins
        between them, `damaged` if something stands there that is no chunk.
    """
    place = file.tell()
    try:
        return _followed(file, start, end)
    finally:
        file.seek(place)


def _followed(file: Readable, start: int, end: int) -> str:
    at = start - HEAD.size
    while at < end - HEAD.size:
        file.seek(at)
        head = file.read(HEAD.size + 4)
        if len(head) < HEAD.size:
            return "damaged"
        name, size = HEAD.unpack_from(head)
        if name in LISTS:
            if head[HEAD.size :] == b"AVI ":
                return "joined"
            at += HEAD.size + 4
        elif CHUNK.fullmatch(name):
            at += HEAD.size + size + size % 2
        else:
            return "damaged"
    return ""
