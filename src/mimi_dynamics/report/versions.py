"""Texts of files as they are in the working tree, and as they are in a commit."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mimi_dynamics.pipeline.errors import InputError

PATIENCE_S = 30  # git takes some 10 ms, but may hang on a disk that is not there


class Version(NamedTuple):
    """The texts of files at one time.

    Attributes:
        name: the first seven digits of the commit, or nothing for the working tree.
        texts: by path, with slashes, from the folder that was read.
    """

    name: str
    texts: dict[str, str]


def working_tree(paths: Sequence[str], folder: Path = Path()) -> Version:
    """Read files, and all files within folders, as they are now; what is missing is left out.

    Args:
        paths: files and folders, from `folder`.
        folder: the top folder of the project.
    """
    found = (file for path in paths for file in _files(folder / path))
    texts = {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8", errors="replace")
        for file in found
    }
    return Version("", texts)


def _files(path: Path) -> list[Path]:
    """List the file, or the files of the folder, without those that a stage is still writing."""
    if path.is_file():
        return [path]
    return sorted(f for f in path.rglob("*") if f.is_file() and not f.name.startswith("."))


def committed(revision: str, paths: Sequence[str], folder: Path = Path()) -> Version:
    """Read files, and all files within folders, of a commit; what it does not have is left out.

    Args:
        revision: what git can resolve, such as `HEAD`.
        paths: files and folders, from `folder`.
        folder: the top folder of the project, which may lie within a larger repository.

    Raises:
        InputError: git is not there or refuses, or there is no such commit. The message is git's.
    """
    listing = _git(folder, "ls-tree", "-r", "-z", revision, "--", *paths)
    entries = [entry.split(b"\t", 1) for entry in listing.split(b"\0") if entry]
    objects = [revision.encode(), *(about.split()[2] for about, _ in entries)]
    answer = _git(folder, "cat-file", "--batch", sent=b"\n".join(objects) + b"\n")
    (commit, _), *contents = _objects(answer)
    names = (path.decode(errors="replace") for _, path in entries)
    texts = (content.decode(errors="replace") for _, content in contents)
    return Version(commit[:7], dict(zip(names, texts, strict=True)))


def _git(folder: Path, *arguments: str, sent: bytes = b"") -> bytes:
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            input=sent,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except FileNotFoundError as error:
        raise InputError("there is no git on this machine") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"git does not run: {error}") from error
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise InputError(f"git says: {said[0].removeprefix('fatal: ')}")
    return result.stdout


def _objects(answer: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the hash and the content of every object that `git cat-file --batch` prints."""
    while answer:
        header, answer = answer.split(b"\n", 1)
        name, _, size = header.decode().split()
        yield name, answer[: int(size)]
        answer = answer[int(size) + 1 :]


def parsed(texts: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Read the metrics files among `texts`.

    Returns:
        The content of each by path, and the paths of those that are not JSON objects.
    """
    files, broken = {}, []
    for path, text in texts.items():
        if not path.endswith(".json"):
            continue
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if isinstance(content, dict):
            files[path] = content
        else:
            broken.append(path)
    return files, broken
