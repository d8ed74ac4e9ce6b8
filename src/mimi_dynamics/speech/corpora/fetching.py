"""Getting a corpus's archive from a mirror or its public home, and unpacking it safely."""

import lzma
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path, remove
from mimi_dynamics.pipeline.sources import expanded

DOWNLOADS = Path("runs/downloads")  # ignored by git and DVC
ATTEMPTS = 3
TIMEOUT_SECONDS = 20.0
WAIT_SECONDS = 2.0
# Unpacked over packed bytes: 1.2 for the archives of speech here, 1,000 for zeros, a "bomb".
MOST_EXPANSION = 50


class FetchError(Exception):
    """One way to get an archive failed; another may work. The message says why, in one line."""


def mirror_folder(mirror: str, name: str) -> Path | None:
    """The sub-folder `name` of a mirror that is a directory; None if there is none."""
    folder = expanded(mirror) / name
    return folder if mirror and not _is_url(mirror) and folder.is_dir() else None


def from_mirror(mirror: str, names: list[str]) -> Path:
    """The first of the files `names` that the mirror holds.

    Raises:
        InputError: the mirror is a directory that does not exist.
        FetchError: it holds none of them.
    """
    if _is_url(mirror):
        prefix = mirror.rstrip("/")
        return first_that_works([partial(download, f"{prefix}/{name}") for name in names])
    folder = expanded(mirror)
    if not folder.is_dir():
        raise InputError(f"ingest.mirror = {mirror!r}: must be a directory")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FetchError(f"{mirror} holds no {' or '.join(names)}")


def first_that_works(ways: Sequence[Callable[[], Path]]) -> Path:
    """The result of the first way that does not fail.

    Raises:
        FetchError: with the reasons of all of them.
    """
    reasons = []
    for way in ways:
        try:
            return way()
        except FetchError as error:
            reasons.append(str(error))
    raise FetchError("; ".join(reasons))


def fetch_corpus(corpus: str, ways: Sequence[Callable[[], Path]]) -> Path:
    """As `first_that_works`, with the message that a user can act on.

    Raises:
        InputError: what was tried, and that `ingest.mirror` may help.
    """
    try:
        return first_that_works(ways)
    except FetchError as error:
        raise InputError(
            f"corpus {corpus}: cannot get it ({error}); "
            "set ingest.mirror to a folder, or ingest.mirror_url to an address, that holds it"
        ) from error


def download(url: str) -> Path:
    """Download `url` into `runs/downloads/`, or find it there from an earlier run.

    Raises:
        FetchError: after three attempts, or at once when the server says there is no such file.
    """
    # Two homes may serve different files under one name.
    key = sha256(url.encode()).hexdigest()[:8]
    target = DOWNLOADS / f"{key}-{PurePosixPath(url).name}"
    if target.exists():
        return target
    for attempt in range(ATTEMPTS):
        try:
            _download_once(url, target)
            return target
        except (OSError, HTTPException, ValueError) as error:
            reason = f"{url}: {' '.join(str(error).split())}"
            if isinstance(error, ValueError) or (
                isinstance(error, urllib.error.HTTPError) and error.code < 500
            ):
                break
            if attempt + 1 < ATTEMPTS:
                time.sleep(WAIT_SECONDS * (attempt + 1))
    raise FetchError(reason)


def _download_once(url: str, target: Path) -> None:
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response,
        atomic_path(target) as temporary,
    ):
        total = int(response.headers.get("Content-Length") or 0)
        with (
            temporary.open("wb") as file,
            tqdm.wrapattr(file, "write", total or None, desc=target.name, disable=None) as output,
        ):
            shutil.copyfileobj(response, output, 1 << 20)
        size = temporary.stat().st_size
        if total and size != total:  # urllib does not mind
            raise OSError(f"broke off after {size} of {total} bytes")


def _is_url(mirror: str) -> bool:
    return "://" in mirror


def unpack(archive: Path, folder: Path, place: Callable[[str], str]) -> None:
    """Unpack the plain files of a tar archive for which `place(member name)` is not ''.

    Args:
        archive: `.tar`, in any compression that `tarfile` knows.
        folder: Where to put the files; links, devices and the like are left out.
        place: Gives a file's path below `folder`.

    Raises:
        InputError: the archive is damaged, a name leads out of `folder`, or it unpacks to far more
            than its own size.
    """
    with problems_named(archive), tarfile.open(archive) as tar:
        unpack_members(tar, archive, folder, place)


def unpack_members(
    tar: tarfile.TarFile, archive: Path, folder: Path, place: Callable[[str], str]
) -> None:
    """As `unpack`, from a tar that is open already; it is read once, from start to end."""
    room = MOST_EXPANSION * archive.stat().st_size
    for member in tar:
        relative = PurePosixPath(place(member.name)) if member.isreg() else PurePosixPath()
        if relative == PurePosixPath():
            continue
        if relative.is_absolute() or ".." in relative.parts or "\\" in str(relative):
            raise InputError(f"{archive}: holds the unsafe file name {member.name!r}")
        room -= member.size
        if room < 0:
            raise InputError(
                f"{archive}: unpacks to more than {MOST_EXPANSION} times its size at "
                f"{member.name!r}; no archive of speech does"
            )
        source = tar.extractfile(member)
        if source is None:
            continue
        _copy(source, folder / relative)


def _copy(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


@contextmanager
def problems_named(archive: Path) -> Iterator[None]:
    """Turn whatever a damaged archive makes its readers raise into one line about it.

    Raises:
        InputError: naming the archive.
    """
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
        if getattr(error, "errno", None):  # of the disk, not of the archive
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"{archive}: cannot unpack it ({reason}); {discard(archive)}") from error


def discard(archive: Path) -> str:
    """Remove an archive that is no good, if it is a download, and say what to do about it."""
    if archive.is_relative_to(DOWNLOADS):
        remove(archive)
        return "it is removed: run again to download it anew"
    return "if it is damaged, delete or replace it"
