"""Arrays as `numpy.save` and `numpy.savez` write them."""

import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from mimi_dynamics.own_latents.clips import Clip, Source, check_kind, clip_of_array
from mimi_dynamics.pipeline.errors import InputError

REMEDY = "save one (frames, dim) float32 array a clip with numpy.save or numpy.savez"


def read_npy(path: Path) -> Source:
    """Map a file into memory, of which only the frames that are used are then read.

    An array of (clips, frames, dim) is that many clips.

    Raises:
        InputError: it is no array, or one of Python objects, which would have to be unpickled.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise broken(path, error) from error
    if array.ndim == 3:
        clips = [
            clip_of_array(f"{path}, clip {place}", str(place), clip)
            for place, clip in enumerate(array)
        ]
        return Source(str(path), clips)
    return Source(str(path), [clip_of_array(str(path), path.stem, array)])


def read_npz(path: Path) -> Source:
    """List the arrays of an archive, each of which is a clip and is read when it is needed.

    Raises:
        InputError: it is no archive of arrays.
    """
    _array.cache_clear()  # The file may have been written anew.
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
        with zipfile.ZipFile(path) as opened:
            headers = {name: _header(opened, name) for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise broken(path, error) from error
    return Source(str(path), [_member(path, name, *headers[name]) for name in names])


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read shape and type of a member, without its numbers."""
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(file)
    return shape, dtype


def _member(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Clip:
    label = f"{path}, array {name!r}"
    if dtype.hasobject:
        raise broken(path, ValueError(f"array {name!r} holds Python objects"))
    check_kind(label, shape, dtype.name)

    return Clip(label, name, shape, dtype.name, lambda start, stop: _array(path, name)[start:stop])


@lru_cache(maxsize=1)
def _array(path: Path, name: str) -> np.ndarray:
    """Read an array of an archive, and keep it while its parts are used one after the other."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise broken(path, error) from error


def broken(path: Path, error: Exception) -> InputError:
    """Make the error of a file that is not readable as arrays of numbers."""
    told = " ".join(str(error).split())
    if "allow_pickle" in told or "Object arrays" in told:
        told = "it holds Python objects, which would have to be unpickled"
    return InputError(f"{path}: not read: {told}; {REMEDY}")
