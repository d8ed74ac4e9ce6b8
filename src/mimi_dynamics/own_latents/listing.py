"""The clips that the pipeline makes of latents on disk, each by the id that its manifest has."""

import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mimi_dynamics.own_latents.clips import Source
from mimi_dynamics.own_latents.pieces import Piece, check_size, pieces_of
from mimi_dynamics.own_latents.reading import read_path
from mimi_dynamics.pipeline.conventions import FRAME_RATE
from mimi_dynamics.pipeline.errors import InputError


class Listed(NamedTuple):
    """A clip of the pipeline.

    Attributes:
        clip_id: its name in the manifest.
        piece: the frames that it has of a clip as it was given.
        prompt: equal for clips that belong on one side of the split, such as parts of one.
    """

    clip_id: str
    piece: Piece
    prompt: str


def read_own(path: str) -> Source:
    """List the latents that the setting names, of which nothing is read yet but shapes.

    Args:
        path: the folder or file.

    Raises:
        InputError: they are not readable, too few, or not all of one size.
    """
    try:
        source = read_path(Path(path))
        check_size(source.label, source.clips)
    except InputError as error:
        raise InputError(f"ingest.latents.path: {error}") from error
    return source


def rate_of(source: Source, setting: float) -> float:
    """Give the number of latents a second: by the setting, else by the files, else 12.5."""
    return setting or source.frame_rate or FRAME_RATE


def list_pieces(source: Source, notes: list[str]) -> list[Listed]:
    """Give every clip its id; long clips are cut into pieces, and a single array into blocks.

    Args:
        source: the clips as they were given.
        notes: to which it is added what was done.

    Raises:
        InputError: two clips have the same name.
    """
    names = {id(clip): _printable(clip.key) for clip in source.clips}
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if repeated:
        raise InputError(f"{source.label}: two clips are called {repeated[0]!r}: must differ")
    pieces = pieces_of(source.clips, notes)
    parts, number, listed = Counter(id(piece.clip) for piece in pieces), Counter[int](), []
    alone = len(source.clips) == 1  # Its blocks have gaps between them, so each may be held out.
    for piece in pieces:
        name, of = names[id(piece.clip)], id(piece.clip)
        number[of] += 1
        own = f"{name}-{number[of]:04d}" if parts[of] > 1 else name
        listed.append(Listed(own, piece, own if alone else name))
    ids = Counter(clip.clip_id for clip in listed)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise InputError(
            f"{source.label}: {twice[0]!r} is a clip and a piece of another: call it something else"
        )
    return listed


def _printable(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    return composed if composed.isprintable() else composed.encode("unicode_escape").decode("ascii")
