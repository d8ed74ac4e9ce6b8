"""Any directory of audio: whatever FFmpeg reads, the voice being the first sub-folder's name.

Files that lie directly in the directory have the voice `unknown`. Nothing outside the directory is
read: links are listed as rejected, never followed.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.speech.corpora.recording import Recording, composed, printable

CORPUS = "folder"
NO_VOICE = "unknown"
SIDECARS = {".csv", ".html", ".ini", ".json", ".lab", ".log", ".md", ".pdf", ".textgrid", ".toml"}
SIDECARS |= {".tsv", ".txt", ".xml", ".yaml", ".yml"}


def list_recordings(path: str, audio_dir: Path) -> list[Recording]:
    """Every file below a directory, with those that must not be opened marked as refused.

    Args:
        path: `ingest.folder.path`.
        audio_dir: Where clips will be written: it must not lie in the directory.

    Raises:
        InputError: `path` is no directory, cannot be listed, or holds `audio_dir`.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise InputError(f"ingest.folder.path = {path!r}: must be a directory")
    if audio_dir.resolve().is_relative_to(root.resolve()):
        raise InputError(f"ingest.folder.path = {path!r}: must not hold the output, {audio_dir}")
    paths = {printable(file.relative_to(root).as_posix()): file for file in _files(root)}
    # Names that differ in their form of accents alone keep it, so that ids stay different.
    forms = Counter(composed(name) for name in paths)
    return [
        _recording(name if forms[composed(name)] > 1 else composed(name), file)
        for name, file in paths.items()
    ]


def _files(root: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise InputError(f"ingest.folder.path: cannot list {error.filename!r}: {error.strerror}")

    for folder, below, files in os.walk(root, onerror=fail):
        # os.walk names links to folders, which it does not follow, among the folders.
        links = [name for name in below if Path(folder, name).is_symlink()]
        yield from (Path(folder, name) for name in sorted(files + links))


def _recording(name: str, path: Path) -> Recording:
    voice, slash, _ = composed(name).partition("/")
    return Recording(
        name=f"{CORPUS}/{name}",
        clip_id=f"{CORPUS}/{name}",
        corpus=CORPUS,
        voice=voice if slash else NO_VOICE,
        language="",
        prompt=composed(PurePath(name).with_suffix("").as_posix()),
        path=path,
        refused=_refusal(path),
    )


def _refusal(path: Path) -> str:
    """Why a file must not be opened, '' if it may be."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return "link"
    # Opening a pipe would wait for its other end for ever.
    if not stat.S_ISREG(mode) or path.name.startswith(".") or path.suffix.lower() in SIDECARS:
        return "not_audio"
    return ""
