"""Any directory of audio: whatever FFmpeg reads, in the layouts in which corpora come.

Who speaks is said by the first of these that does: `ingest.voice_table`, `ingest.voice_pattern`, a
table in the directory (`tables.py`), a known layout (`layouts.py`), the first folder on the way to
a file but for those that are called by what they hold, such as `train` or `wavs`. Else the voice is
`unknown`. Nothing outside the directory is read: links that lead out of it are listed as rejected.
"""

from collections import Counter
from pathlib import Path, PurePath

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import IngestParams
from mimi_dynamics.pipeline.sources import expanded
from mimi_dynamics.speech.corpora.layouts import Told
from mimi_dynamics.speech.corpora.links import Found, find_files, repeated
from mimi_dynamics.speech.corpora.recording import Recording, composed, printable
from mimi_dynamics.speech.corpora.voices import NO_VOICE, TABLES, tell_all, told_by
from mimi_dynamics.speech.summary import tell

CORPUS = "folder"
TEXTS = {".txt", *TABLES}
SIDECARS = {".html", ".ini", ".json", ".lab", ".log", ".md", ".pdf", ".phn", ".textgrid", ".toml"}
SIDECARS |= {".wrd", ".xml", ".yaml", ".yml", *TEXTS}
TEXT = "text"  # what is not audio, but may tell of it
NOTHING = Told("", NO_VOICE)


def list_recordings(params: IngestParams, audio_dir: Path) -> list[Recording]:
    """Every file below a directory, with those that must not be opened marked as refused.

    Prints how many voices were found in which way.

    Args:
        params: `folder.path`, `voice_pattern` and `voice_table`.
        audio_dir: Where clips will be written: it must not lie in the directory.

    Raises:
        InputError: the path is no directory, cannot be listed, or holds `audio_dir`; or a pattern
            or table says nothing of any file in it.
    """
    path = params.folder.path
    root = expanded(path).absolute()
    if not root.is_dir():
        raise InputError(f"ingest.folder.path = {path!r}: must be a directory")
    if audio_dir.resolve().is_relative_to(root.resolve()):
        raise InputError(f"ingest.folder.path = {path!r}: must not hold the output, {audio_dir}")
    found = find_files(root)
    again = repeated(found)
    refused = {file.path: _refusal(file, again) for file in found}
    names = _names(root, list(refused))
    audio = {path: name for path, name in names.items() if not refused[path]}
    texts = [path for path, reason in refused.items() if reason == TEXT]
    told = tell_all(params, root, audio, texts)
    tell(told_by(told.values()))
    return [
        _recording(name, path, told.get(path, NOTHING), refused[path])
        for path, name in names.items()
    ]


def _recording(name: str, path: Path, told: Told, refused: str) -> Recording:
    return Recording(
        name=f"{CORPUS}/{name}",
        clip_id=f"{CORPUS}/{name}",
        corpus=CORPUS,
        voice=told.voice,
        language=told.language,
        prompt=told.prompt or composed(PurePath(name).with_suffix("").as_posix()),
        path=path,
        text=told.text,
        refused="not_audio" if refused == TEXT else refused,
    )


def _names(root: Path, files: list[Path]) -> dict[Path, str]:
    """Give the names under which files are listed: different ones, in NFC where they stay so."""
    names = {file: printable(file.relative_to(root).as_posix()) for file in files}
    # Names that differ in their form of accents alone keep it, so that ids stay different.
    forms = Counter(composed(name) for name in names.values())
    return {
        file: name if forms[composed(name)] > 1 else composed(name) for file, name in names.items()
    }


def _refusal(file: Found, again: set[Path]) -> str:
    """Why a file must not be opened as audio, '' if it may be."""
    if file.real is None:
        return "link"
    # Opening a pipe would wait for its other end for ever.
    if not file.path.is_file() or file.path.name.startswith("."):
        return "not_audio"
    if file.path.suffix.lower() in TEXTS:
        return TEXT
    if file.path.suffix.lower() in SIDECARS:
        return "not_audio"
    return "duplicate" if file.path in again else ""
