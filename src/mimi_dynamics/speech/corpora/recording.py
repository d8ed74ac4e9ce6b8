"""What a corpus tells about one recording, before anything is decoded."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recording:
    """One source file.

    Attributes:
        name: Source name shown to the user, `corpus/relative/file.ext`.
        clip_id: Unique, readable id without the file's ending where that stays unique.
        corpus: Name of the corpus, as in `ingest.corpora`.
        voice: Who speaks.
        language: Language code, '' if unknown.
        prompt: What is said, or an id of it: recordings of one voice with the same prompt share a
            split.
        path: Where the bytes lie.
        text: Transcript, '' if unknown.
        container: FFmpeg's name of the file format, '' to recognise it.
        refused: Why the file must not even be opened, '' if it may be.
    """

    name: str
    clip_id: str
    corpus: str
    voice: str
    language: str
    prompt: str
    path: Path
    text: str = ""
    container: str = ""
    refused: str = ""


def composed(name: str) -> str:
    """A name with its accents as part of their letters (NFC), which is how people type them.

    File systems of a Mac give them apart from their letters; both look the same.
    """
    return unicodedata.normalize("NFC", name)


def printable(name: str) -> str:
    """A name that may be shown and stored as UTF-8; different names stay different."""
    if name.isprintable() and "\\" not in name:
        return name
    return name.encode("unicode_escape").decode("ascii")
