"""Two voices that volunteers of the Rhasspy project recorded for anyone to use (CC0 1.0).

Read sentences of three to five seconds: `kathleen` in US English, `kerstin` in German. Their
public homes are github.com/rhasspy/dataset-voice-{kathleen,kerstin}. The layout of the archives
there has not been checked by anyone who wrote this, and no sums are pinned: mirrors hold the same
recordings in other formats. Hence every audio file in the archive or in the mirror's sub-folder
counts, wherever it lies.
"""

import re
from functools import partial
from pathlib import Path

from mimi_dynamics.speech.corpora.fetching import (
    download,
    fetch_corpus,
    from_mirror,
    mirror_folder,
    unpack,
)
from mimi_dynamics.speech.corpora.recording import Recording, printable

LANGUAGES = {"kathleen": "en", "kerstin": "de"}
HOME = "https://github.com/rhasspy/dataset-voice-{voice}/archive/refs/heads/master.tar.gz"
SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".mp3", ".webm")
# `arctic_a0001_1592748574`: a prompt, and the second at which it was read.
READ_AT = re.compile(r"_\d{9,}$")


def list_recordings(voice: str, mirror: str, workspace: Path) -> list[Recording]:
    """The recordings of `kathleen` or `kerstin`.

    Args:
        voice: A key of `LANGUAGES`, which is also the corpus's name.
        mirror: `ingest.mirror`: a directory's sub-folder of the voice's name is used as it is.
        workspace: Folder to unpack an archive into.

    Raises:
        InputError: it cannot be had.
    """
    folder = mirror_folder(mirror, voice)
    if folder is None:
        folder = workspace / voice
        unpack(_archive(voice, mirror), folder, _place)
    files = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    return [_recording(path, path.relative_to(folder), voice) for path in files]


def _archive(voice: str, mirror: str) -> Path:
    ways = [partial(download, HOME.format(voice=voice))]
    if mirror:
        ways.insert(0, partial(from_mirror, mirror, [f"{voice}.tar.gz"]))
    return fetch_corpus(voice, ways)


def _place(member: str) -> str:
    """The member's name below the archive's one top folder, if it is audio."""
    return member.partition("/")[2] if member.lower().endswith(SUFFIXES) else ""


def _recording(path: Path, relative: Path, voice: str) -> Recording:
    return Recording(
        name=f"{voice}/{printable(relative.as_posix())}",
        clip_id=f"{voice}/{printable(relative.with_suffix('').as_posix())}",
        corpus=voice,
        voice=voice,
        language=LANGUAGES[voice],
        prompt=READ_AT.sub("", printable(relative.stem)),
        path=path,
    )
