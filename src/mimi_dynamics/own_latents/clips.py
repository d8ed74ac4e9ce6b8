"""Clips of latents as they were given, in memory or on disk, of which only parts are read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mimi_dynamics.pipeline.errors import InputError

FLOATS = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Clip:
    """One clip of latents, none of which is read before it is asked for.

    Attributes:
        name: by which messages name it: a file, a tensor of a file, or its place in a list.
        key: by which `groups` and `splits` name it.
        shape: (frames, dim).
        dtype: name of the number type that it is stored in.
        read: gives the frames from one index to another, as (frames, dim) of floats.
        voice: who speaks, if that is known.
        split: `train`, `validation`, `test` or `test_voice`, if that was decided before.
        rms_db: (frames,) level in decibels, if it is known.
        gated: (frames,) bool, which frames are in or beside digital silence, if it is known.
    """

    name: str
    key: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[int, int], np.ndarray]
    voice: str | None = None
    split: str | None = None
    rms_db: np.ndarray | None = None
    gated: np.ndarray | None = None

    @property
    def frames(self) -> int:
        """The number of frames."""
        return self.shape[0]


@dataclass(frozen=True)
class Source:
    """All clips that were given.

    Attributes:
        label: what it is, in words: a path, or the kind of object.
        clips: the clips, in their order.
        frame_rate: latents a second, if the files say it.
        info: what the files say of the codec, such as the hash of its weights.
    """

    label: str
    clips: list[Clip]
    frame_rate: float | None = None
    info: dict[str, Any] = field(default_factory=dict)


def clip_of_array(name: str, key: str, array: object) -> Clip:
    """Make a clip of an array, a memory map, a torch tensor, or whatever numpy takes for an array.

    Args:
        name: by which messages name it.
        key: by which `groups` and `splits` name it.
        array: (frames, dim).

    Raises:
        InputError: it is not an array of floating-point numbers in two dimensions.
    """
    if hasattr(array, "detach"):  # A tensor of torch, which numpy cannot take from a GPU.
        tensor = array.detach().cpu()
        stored = str(tensor.dtype).removeprefix("torch.")
        values = tensor.float().numpy() if stored == "bfloat16" else tensor.numpy()
    else:
        try:
            values = np.asarray(array)
        except ValueError as error:  # rows of different lengths
            raise InputError(f"{name}: not one (frames, dim) array: rows differ") from error
        stored = values.dtype.name
    check_kind(name, values.shape, stored)
    return Clip(name, key, values.shape, stored, lambda start, stop: values[start:stop])


def check_kind(name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Check what is known of a clip before any of its numbers is read.

    Raises:
        InputError: it is no (frames, dim) array of floating-point numbers.
    """
    if dtype.startswith(("int", "uint", "bool")):
        raise InputError(
            f"{name}: {dtype}, which codes are; give the latents before the quantiser, as float32"
        )
    if dtype not in FLOATS:
        raise InputError(
            f"{name}: {dtype}: must be one of {', '.join(FLOATS)}; convert it with "
            "numpy.asarray(..., dtype='float32')"
        )
    if len(shape) != 2 or shape[1] == 0:
        raise InputError(
            f"{name}: shape {shape}: must be (frames, dim); a single coordinate is (frames, 1)"
        )
