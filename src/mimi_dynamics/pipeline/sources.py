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
from mimi_dynamics.pipeline.params import Params

IGNORED = Path(".dvcignore")


def check_sources(params: Params) -> None:
    """Check that DVC can look at every folder and file that the settings name.

    Raises:
        InputError: it cannot. The message names the setting, its value and what to do.
    """
    named = {
        "ingest.folder.path": params.ingest.folder.path,
        "ingest.mirror": params.ingest.mirror,
        "ingest.voice_table": params.ingest.voice_table,
        "codec.lyra.weights": params.codec.lyra.weights,
        "codec.mimi.weights": params.codec.mimi.weights,
    }
    for setting, path in named.items():
        if path:
            for problem in _problems(path):
                raise InputError(f"{setting} = {path!r}: {problem}")


def _problems(name: str) -> Iterator[str]:
    path = Path(name)
    if name.startswith("~"):
        yield f"DVC does not know '~': must be written out, as {path.expanduser()}"
    if not path.exists():
        # The copies in which DVC runs --temp and --queue lie in its own folder.
        copied = not path.is_absolute() and ".dvc" in Path.cwd().parts
        yield "no such file or folder" + (
            " in the copy of the repository in which --temp and --queue run: "
            "must be an absolute path, or in git"
            if copied
            else ""
        )
    for part in _parts_here(path):
        if part in _ignored_folders():
            yield f"DVC sees nothing in {part}/ of this repository ({IGNORED}): must be elsewhere"
    if path.is_dir():
        yield from _unreadable(path)


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
