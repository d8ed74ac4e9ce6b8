"""Every file below a folder, and where its bytes lie: links that stay in it are followed.

A cache of the Hugging Face hub counts as one folder: there, `snapshots/<revision>/` holds links
into `blobs/` beside it, whose own files have no names that say anything.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError

SNAPSHOTS, BLOBS = "snapshots", "blobs"
NEVER_ENTERED = {".git", ".dvc"}  # What they hold has a name elsewhere, in a link.


@dataclass(frozen=True)
class Found:
    """A file, pipe, or link below a folder.

    Attributes:
        path: its name there.
        real: where the bytes lie; None for a link that leads out of the folder, or nowhere, or to
            a folder that holds the link or was entered by another link.
        link_in: the real folder that holds the link; None for what is no link itself, though a
            folder above it may be one.
        links: how many links there are on the way.
    """

    path: Path
    real: Path | None
    link_in: Path | None = None
    links: int = 0


@dataclass(frozen=True)
class _Folder:
    path: Path
    real: Path
    left: tuple[Path, ...] = ()  # Real folders from which links led here, one by one.

    def leads_back_to(self, real: Path) -> bool:
        return any(folder.is_relative_to(real) for folder in (self.real, *self.left))


def find_files(root: Path) -> list[Found]:
    """Give every file below a folder, however deep, sorted by its path.

    Raises:
        InputError: a folder cannot be listed.
    """
    root = root.absolute()
    top = root.resolve()
    allowed = [top, *_blobs_beside(root)]
    found: list[Found] = []
    entered: set[Path] = set()
    folders = [_Folder(root, top)]
    # A stack of its own, since Python gives up at some hundred levels of calls.
    while folders:
        folder = folders.pop()
        for entry in _listed(folder.path):
            path, real = folder.path / entry.name, folder.real / entry.name
            links = len(folder.left)
            if not entry.is_symlink():
                if not entry.is_dir():
                    found.append(Found(path, real, links=links))
                elif not _is_store(folder.path, entry.name):
                    folders.append(_Folder(path, real, folder.left))
                continue
            target = _target(path, allowed)
            if target is None or not target.is_dir():
                found.append(Found(path, target, folder.real, links + 1))
            elif target in entered or folder.leads_back_to(target):
                found.append(Found(path, None, folder.real, links + 1))
            else:
                entered.add(target)
                folders.append(_Folder(path, target, (*folder.left, folder.real)))
    return sorted(found, key=lambda file: file.path.parts)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"ingest.folder.path: cannot list {folder!s:.300}: {error.strerror}"
        ) from error


def _is_store(folder: Path, name: str) -> bool:
    """Whether links elsewhere give better names to all that a folder holds."""
    return name in NEVER_ENTERED or (name == BLOBS and is_snapshots(folder / SNAPSHOTS))


def _blobs_beside(root: Path) -> Iterator[Path]:
    for folder in (root, *root.parents):
        if is_snapshots(folder):
            yield (folder.parent / BLOBS).resolve()


def is_snapshots(folder: Path) -> bool:
    """Whether a folder holds the revisions of a repository in a cache of the Hugging Face hub."""
    return folder.name == SNAPSHOTS and folder.is_dir() and (folder.parent / BLOBS).is_dir()


def _target(link: Path, allowed: list[Path]) -> Path | None:
    """Where a link leads to in the end, if that is there and in one of the allowed folders."""
    try:
        real = link.resolve(strict=True)
    except (OSError, RuntimeError):  # It leads nowhere, or to itself.
        return None
    return real if any(real.is_relative_to(folder) for folder in allowed) else None


def repeated(found: list[Found]) -> set[Path]:
    """Give the paths under which a file is found again, which has a better name.

    A file's own name is better than that of a link to it; but where a folder is a link, what is in
    it is called as has fewer folders on the way. If every file of a folder has a link to it from
    elsewhere, links are better: it is a store, and people named the links.
    """
    names: dict[Path, list[Found]] = defaultdict(list)
    for file in found:
        if file.real is not None:
            names[file.real].append(file)
    stores = _stores(names)

    def rank(file: Found) -> tuple[bool, bool, int, int, tuple[str, ...]]:
        is_link = file.link_in is not None
        named = is_link and file.real is not None and file.real.parent in stores
        return not named, is_link, len(file.path.parts), file.links, file.path.parts

    return {
        file.path
        for files in names.values()
        if len(files) > 1
        for file in sorted(files, key=rank)[1:]
    }


def _stores(names: dict[Path, list[Found]]) -> set[Path]:
    """Give the real folders of several files, each of which has a link of its own elsewhere."""
    named = {
        real
        for real, files in names.items()
        if any(file.link_in not in (None, real.parent) for file in files)
    }
    sizes = Counter(real.parent for real in named)
    plain = {real.parent for real in names.keys() - named}
    return {folder for folder, size in sizes.items() if size > 1 and folder not in plain}
