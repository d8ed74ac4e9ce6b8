"""From what was given, in memory or on disk, to clips: the one place that tells formats apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from mimi_dynamics.own_latents.clips import Clip, Source, clip_of_array
from mimi_dynamics.own_latents.formats import numpy_files, parquet, pocket_tts, tensor_files
from mimi_dynamics.pipeline.errors import InputError

READERS: dict[str, Callable[[Path], Source]] = {
    ".npy": numpy_files.read_npy,
    ".npz": numpy_files.read_npz,
    ".safetensors": tensor_files.read,
    ".parquet": parquet.read,
    ".jsonl": pocket_tts.read,
}
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
FORMATS = ", ".join(READERS)


def read_source(latents: object) -> Source:
    """List the clips of latents, of which nothing is read yet but shapes.

    Args:
        latents: an array (frames, dim), or (clips, frames, dim); a list of arrays; a dict of them
            by name; or the path of a file or a folder.

    Raises:
        InputError: it is none of these, or not readable. The message names the file and a remedy.
    """
    if isinstance(latents, str | Path):
        return read_path(Path(latents))
    if isinstance(latents, Mapping):
        named = latents.items()
        clips = [clip_of_array(f"clip {name!r}", str(name), array) for name, array in named]
        return Source("a dict of arrays", clips)
    shape = getattr(latents, "shape", None)
    if shape is not None and len(shape) == 2:
        return Source("an array", [clip_of_array("the array", "0", latents)])
    if isinstance(latents, Sequence) or (shape is not None and len(shape) == 3):
        arrays = list(cast("Sequence[object]", latents))
        clips = [clip_of_array(f"clip {place}", str(place), of) for place, of in enumerate(arrays)]
        return Source("a list of arrays" if shape is None else "an array of clips", clips)
    found = type(latents).__name__ if shape is None else f"an array of shape {tuple(shape)}"
    raise InputError(
        f"latents = {found}: must be an array (frames, dim), a list or a dict of such arrays, or "
        "the path of a file or folder"
    )


def read_path(path: Path) -> Source:
    """List the clips of a file, or of all files of a folder.

    Raises:
        InputError: there is no such file, or it is not readable.
    """
    if not path.exists():
        raise InputError(f"{path}: not there; give the path of a file or folder of latents")
    if path.is_file():
        return reader_of(path)(path)
    manifests = sorted(path.glob("*_latents.jsonl"))
    if len(manifests) > 1:
        names = ", ".join(manifest.name for manifest in manifests)
        raise InputError(f"{path}: has several manifests, {names}; give the path of one of them")
    if manifests:
        return pocket_tts.read(manifests[0])
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not file.name.startswith(".") and is_of_latents(file)
    )
    kinds = {file.suffix.lower(): file for file in reversed(files)}
    if not files:
        raise InputError(f"{path}: no file of latents in it; must be one of {FORMATS}")
    if len(kinds) > 1:
        raise InputError(
            f"{path}: has files of several kinds, such as "
            f"{', '.join(str(kinds[kind]) for kind in sorted(kinds))}; give a folder of one kind"
        )
    if set(kinds) == {".parquet"}:
        return parquet.read(path)
    return Source(str(path), _clips_of_files(path, files))


def _clips_of_files(folder: Path, files: Sequence[Path]) -> list[Clip]:
    """List the clips of files, each named by the path of its file, and by its own name if need be.

    It is needed where a file of several has more than one clip.
    """
    names = [file.relative_to(folder).with_suffix("").as_posix() for file in files]
    each = [reader_of(file)(file).clips for file in files]
    if all(len(clips) == 1 for clips in each):
        return [replace(clip, key=name) for name, (clip,) in zip(names, each, strict=True)]
    if len(files) == 1:
        return each[0]
    return [
        replace(clip, key=f"{name}/{clip.key}")
        for name, clips in zip(names, each, strict=True)
        for clip in clips
    ]


def is_of_latents(file: Path) -> bool:
    """Tell whether a file in a folder is meant: one that is readable, or a pickle to be refused."""
    return file.suffix.lower() in (*READERS, *PICKLES) and file.suffix.lower() != ".jsonl"


def reader_of(file: Path) -> Callable[[Path], Source]:
    """Find what reads a file.

    Raises:
        InputError: it is a pickle, which could run any code, or of no kind that is known.
    """
    suffix = file.suffix.lower()
    if suffix in PICKLES:
        raise InputError(
            f"{file}: a pickle, which may run any code when it is read; save it with "
            "safetensors.torch.save_file or numpy.save"
        )
    if suffix not in READERS:
        raise InputError(f"{file}: not a kind of file that is read; must be one of {FORMATS}")
    return READERS[suffix]
