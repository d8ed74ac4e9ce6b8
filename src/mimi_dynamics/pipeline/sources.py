"""Folders and files of the user that settings name, as dependencies that DVC can look at.

In `dvc.yaml` their settings are dependencies, such as `${ingest.folder.path}`, so that a file that
is new, gone or replaced is noticed in every way of running. DVC stops at what it cannot look at,
but does not say which setting is meant and what to do. So the stage `sources` looks first.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import HF_PREFIX, Params

DVC_FOLDER = ".dvc"
IGNORED = Path(".dvcignore")
HOMELESS = "'~' leads nowhere on this machine: must be written out"


def check_sources(params: Params) -> None:
    """Check that DVC can look at every folder and file that the settings name.

    Raises:
        InputError: it cannot. The message names the setting, its value and what to do.
    """
    named = {
        "ingest.folder.path": params.ingest.folder.path,
        "ingest.latents.path": params.ingest.latents.path,
        "ingest.mirror": params.ingest.mirror,
        "ingest.voice_table": params.ingest.voice_table,
        "codec.lyra.weights": params.codec.lyra.weights,
        "codec.mimi.weights": params.codec.mimi.weights,
        "codec.pocket_tts.weights": params.codec.pocket_tts.weights,
    }
    for setting, path in named.items():
        if path:
            for problem in _problems(path):
                raise InputError(f"{setting} = {path!r}: {problem}")
    if params.codec.name.startswith(HF_PREFIX):
        path = params.codec.name.removeprefix(HF_PREFIX)
        for problem in _problems_of_codec(path):
            raise InputError(f"codec.name = {params.codec.name!r}: {problem}")


def _problems_of_codec(name: str) -> Iterator[str]:
    """Check a folder at which DVC does not look, and which may be a repository on the hub too."""
    if name.startswith("~") and expanded(name) == Path(name):
        yield HOMELESS
    original = _original(name)
    if original and original.exists():
        yield _only_in(original)


def _problems(name: str) -> Iterator[str]:
    path = Path(name)
    if name.startswith("~"):
        known = expanded(name) != path
        yield f"DVC does not know '~': must be {expanded(name)}" if known else HOMELESS
    original = _original(name)
    if original:
        yield _only_in(original)
    elif not path.exists():
        yield "no such file or folder"
    for part in _parts_here(path):
        if part in _ignored_folders():
            yield f"DVC sees nothing in {part}/ of this repository ({IGNORED}): must be elsewhere"
    if path.is_dir():
        yield from _unreadable(path)


def expanded(name: str) -> Path:
    """Put the home folder for '~', but where there is none, as for a user who is not in passwd."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def _original(name: str) -> Path | None:
    """Give what a relative path named where an experiment was started, if it is not here.

    DVC runs --temp and --queue in a copy of the repository, which lies in its own folder there.
    """
    path, parts = Path(name), Path.cwd().parts
    if path.is_absolute() or path.exists() or DVC_FOLDER not in parts:
        return None
    return Path(os.path.normpath(Path(*parts[: parts.index(DVC_FOLDER)], name)))


def _only_in(original: Path) -> str:
    absolute = f" the absolute {original}" if original.exists() else " an absolute path"
    return f"not in the copy of the repository in which --temp and --queue run: must be{absolute}"


def _parts_here(path: Path) -> tuple[str, ...]:
    """Give the parts of a path below the repository's top folder; none for a path elsewhere."""
    here, there = Path.cwd().resolve(), path.resolve()
    return there.relative_to(here).parts if there.is_relative_to(here) else ()


def _ignored_folders() -> set[str]:
    lines = IGNORED.read_text(encoding="utf-8").splitlines() if IGNORED.exists() else []
    return {line.rstrip("/") for line in lines if line.endswith("/")}


def _unreadable(folder: Path) -> Iterator[str]:
    """Find what stops DVC in a folder: it would wait at a pipe for its other end for ever."""

    def fail(error: OSError) -> None:
        raise error

    try:
        for parent, _, files in os.walk(folder, onerror=fail):
            for file in files:
                problem = _problem_of(Path(parent, file))
                if problem:
                    yield f"DVC cannot read {problem}: must be moved away or renamed"
    except OSError as error:
        yield f"DVC cannot read {error.filename!r} ({error.strerror})"
    except RecursionError:  # DVC uses os.walk too, which calls itself in Python 3.11.
        yield "DVC cannot read it: too many folders in each other; Python 3.12 can, or move them up"


def _problem_of(path: Path) -> str:
    """Say what is wrong with a file for DVC; '' if nothing is."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return f"{os.fsencode(path)!r}, whose name is not UTF-8,"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"{str(path)!r}, a link that leads nowhere,"
    return "" if stat.S_ISREG(mode) else f"{str(path)!r}, which is no plain file,"
