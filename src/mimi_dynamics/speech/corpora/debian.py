"""Debian packages: getting one with `apt-get`, and reading it without any tool."""

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from mimi_dynamics.pipeline.files import atomic_path
from mimi_dynamics.speech.corpora.fetching import (
    DOWNLOADS,
    FetchError,
    problems_named,
    unpack_members,
)

APT_SECONDS = 120.0
AR_MAGIC = b"!<arch>\n"
AR_HEADER_BYTES = 60


def apt_download(package: str, version: str) -> Path:
    """Download a package into `runs/downloads/` with `apt-get`, no root needed.

    The package lists are read anew, into a private folder, only where the package is unknown.

    Args:
        package: Its name.
        version: The version without the packager's revision.

    Raises:
        FetchError: no `apt-get` here, or it cannot get the package.
    """
    target = DOWNLOADS / f"{package}_{version}.deb"
    if target.exists():
        return target
    apt = shutil.which("apt-get")
    if apt is None:
        raise FetchError("apt-get: not on this system")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ask = ["download", f"{package}={version}-*"]
        try:
            _run([apt, *ask], folder)
        except FetchError:
            (folder / "lists" / "partial").mkdir(parents=True)
            private = ["-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}"]
            _run([apt, *private, "update"], folder)
            _run([apt, *private, *ask], folder)
        packages = sorted(folder.glob("*.deb"))
        if not packages:
            raise FetchError(f"apt-get download {package}: left no file")
        with atomic_path(target) as temporary:
            shutil.copyfile(packages[0], temporary)
    return target


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=APT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"apt-get: {error}") from error
    if done.returncode:
        problems = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise FetchError(f"apt-get: {(problems or ['failed'])[0].removeprefix('E:').strip()}")


def unpack_deb(package: Path, folder: Path, place: Callable[[str], str]) -> None:
    """Unpack the files of a Debian package as `fetching.unpack` does those of a tar archive.

    Raises:
        InputError: the package is damaged.
    """
    with problems_named(package):
        name, content = _data_member(package.read_bytes())
        with _open_tar(name, content) as tar:
            unpack_members(tar, package, folder, place)


def _open_tar(name: str, content: bytes) -> tarfile.TarFile:
    if name.endswith(".zst"):  # as Ubuntu has it; not known to Python 3.11's tarfile
        stream = pa.CompressedInputStream(pa.BufferReader(content), "zstd")
        return tarfile.open(fileobj=stream, mode="r|")
    return tarfile.open(fileobj=io.BytesIO(content))


def _data_member(package: bytes) -> tuple[str, bytes]:
    """Name and content of `data.tar.*` in an `ar` archive.

    Raises:
        ValueError: there is none.
    """
    if not package.startswith(AR_MAGIC):
        raise ValueError("not an ar archive")
    start = len(AR_MAGIC)
    while start + AR_HEADER_BYTES <= len(package):
        header = package[start : start + AR_HEADER_BYTES]
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        size = int(header[48:58])
        start += AR_HEADER_BYTES
        if name.startswith("data.tar"):
            return name, package[start : start + size]
        start += size + size % 2
    raise ValueError("no data.tar in it")
