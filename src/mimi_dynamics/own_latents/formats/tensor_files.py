"""Tensors as safetensors writes them, each of which is a clip."""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from mimi_dynamics.own_latents.clips import Clip, Source, check_kind
from mimi_dynamics.pipeline.errors import InputError

TYPES = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}


def read(path: Path) -> Source:
    """List the tensors of a file; slices of them are read when they are needed.

    Raises:
        InputError: it is not readable, or a tensor is no clip.
    """
    return Source(str(path), clips_of(path))


def clips_of(path: Path, only: str | None = None) -> list[Clip]:
    """List the tensors of a file as clips.

    Args:
        path: the file.
        only: the name of the one tensor that is meant; None for all.

    Raises:
        InputError: it is not readable, or a tensor is no clip.
    """
    _opened.cache_clear()  # The file may have been written anew.
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if only in (None, name)]  # noqa: SIM118
            slices = {name: file.get_slice(name) for name in names}
            kinds = {name: (tuple(of.get_shape()), of.get_dtype()) for name, of in slices.items()}
    except (OSError, SafetensorError) as error:
        raise broken(path, error) from error
    if not kinds:
        raise InputError(
            f"{path}: has no tensor {only or ''}".rstrip() + "; save one for each clip"
        )
    return [_clip(path, name, *kinds[name]) for name in names]


@lru_cache(maxsize=1)
def _opened(path: Path) -> safe_open:
    """Open a file, and keep it open while its clips are read one after the other."""
    return safe_open(path, framework="pt")


def _clip(path: Path, name: str, shape: tuple[int, ...], stored: str) -> Clip:
    label = f"{path}, tensor {name!r}"
    dtype = TYPES.get(stored) or re.sub(r"^(u?)i?(\d+)$", r"\1int\2", stored.lower())
    check_kind(label, shape, dtype)

    def read_part(start: int, stop: int) -> np.ndarray:
        try:
            part = _opened(path).get_slice(name)[start:stop]
        except (OSError, SafetensorError) as error:
            raise broken(path, error) from error
        return (part.float() if stored == "BF16" else part).numpy()

    return Clip(label, name, shape, dtype, read_part)


def broken(path: Path, error: Exception) -> InputError:
    """Make the error of a file that is not readable."""
    told = " ".join(str(error).split())
    return InputError(
        f"{path}: not readable as safetensors: {told}; save it again with "
        "safetensors.torch.save_file"
    )
