"""How latents are stored on disk: a folder of Parquet files with one row per clip.

The columns are `clip_id`, `voice`, `split`, `frames` (int32), `latent` (list of float32,
frames x dim, row by row), `rms_db` (list of float32, one per frame), `gated` (list of bool, one per
frame) and `codes` (list of int16, frames x codebooks). The key-value metadata of every file
describe the latents by the keys of `INFO_TYPES`. All clips of a row group belong to the same split.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path

LATENT_KIND = "pre_quantizer"
INFO_TYPES: dict[str, type] = {
    "codec": str,
    "weights_sha256": str,
    "latent_kind": str,
    "dim": int,
    "codebooks": int,
    "frame_rate": float,
    "sample_rate": int,
}
SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("voice", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("latent", pa.list_(pa.float32()), nullable=False),
        pa.field("rms_db", pa.list_(pa.float32()), nullable=False),
        pa.field("gated", pa.list_(pa.bool_()), nullable=False),
        pa.field("codes", pa.list_(pa.int16()), nullable=False),
    ]
)
GROUPS_PER_PART = 32


@dataclass(frozen=True)
class EncodedClip:
    """The latents of one clip, with what is known about it.

    Attributes:
        clip_id: name of the clip in the manifest.
        voice: who speaks.
        split: `train`, `validation`, `test` or `test_voice`.
        latent: (frames, dim) float32.
        rms_db: (frames,) float32, level in dB relative to full scale.
        gated: (frames,) bool, whether a frame is in or beside digital silence, or its clip ends
            within it (`encoding.frames`).
        codes: (frames, codebooks) int16.
    """

    clip_id: str
    voice: str
    split: str
    latent: np.ndarray
    rms_db: np.ndarray
    gated: np.ndarray
    codes: np.ndarray


class Frames(Protocol):
    """What latents have in common whether they are an array or on disk: (frames, dim) float32."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Give the number of frames, and of coordinates of each."""

    def __len__(self) -> int:
        """Give the number of frames."""

    def __getitem__(self, rows: Any, /) -> np.ndarray:  # noqa: ANN401
        """Give some rows: a slice without a step, or a (frames,) bool array of those to take."""


@dataclass(frozen=True)
class Latents:
    """The latents of all clips, one clip after the other, in the order of the files.

    Attributes:
        values: (frames, dim) float32, the latents; an array, or on disk until they are asked for.
        rms_db: (frames,) float32, level in dB relative to full scale.
        gated: (frames,) bool, whether a frame is in or beside digital silence, or its clip ends
            within it (`encoding.frames`).
        codes: (frames, codebooks) int16.
        lengths: (clips,) int64, number of frames of each clip.
        clip_ids: (clips,) str, names in the manifest.
        voices: (clips,) str, who speaks.
        splits: (clips,) str, `train`, `validation`, `test` or `test_voice`.
        info: the metadata of `INFO_TYPES`: codec, weights_sha256, latent_kind (`pre_quantizer`, or
            `no_decoder` of an encoder alone), dim, codebooks, frame_rate, sample_rate.
    """

    values: Frames
    rms_db: np.ndarray
    gated: np.ndarray
    codes: np.ndarray
    lengths: np.ndarray
    clip_ids: np.ndarray
    voices: np.ndarray
    splits: np.ndarray
    info: dict[str, Any]


class LatentWriter:
    """Writes a folder of latents, with `GROUPS_PER_PART` row groups in each file.

    The folder appears, complete, when the `with` block ends without an exception, or else not at
    all. The same clips in the same row groups give the same bytes.
    """

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        """Prepare to write the folder `path`; `info` describes the latents (see `INFO_TYPES`)."""
        self._path, self._info = path, info
        self._groups = 0

    def __enter__(self) -> Self:
        """Start to write in a temporary folder."""
        with ExitStack() as stack:
            self._folder = stack.enter_context(atomic_path(self._path))
            self._folder.mkdir()
            self._part = self._next_part()
            self._stack = stack.pop_all()
        return self

    def write(self, clips: Sequence[EncodedClip]) -> None:
        """Write clips, which must all belong to the same split, as one row group."""
        lengths = [len(clip.latent) for clip in clips]
        columns = [
            pa.array([clip.clip_id for clip in clips], pa.string()),
            pa.array([clip.voice for clip in clips], pa.string()),
            pa.array([clip.split for clip in clips], pa.string()),
            pa.array(lengths, pa.int32()),
            _list_array([clip.latent for clip in clips], pa.float32()),
            _list_array([clip.rms_db for clip in clips], pa.float32()),
            _list_array([clip.gated for clip in clips], pa.bool_()),
            _list_array([clip.codes for clip in clips], pa.int16()),
        ]
        if self._groups and self._groups % GROUPS_PER_PART == 0:
            self._part.close()
            self._part = self._next_part()
        self._groups += 1
        table = pa.Table.from_arrays(columns, schema=SCHEMA)
        self._part.write_table(table, row_group_size=len(clips))

    def _next_part(self) -> pq.ParquetWriter:
        return open_part(self._folder / part_name(self._groups // GROUPS_PER_PART), self._info)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files, and put the folder in place if there was no exception."""
        self._part.close()
        self._stack.__exit__(kind, error, trace)


def part_name(number: int) -> str:
    """Give the name of a file in a folder of latents."""
    return f"part-{number:03d}.parquet"


def open_part(path: Path, info: dict[str, Any]) -> pq.ParquetWriter:
    """Open a file of latents for writing; see `SCHEMA` for its columns.

    Args:
        path: the file.
        info: describes the latents; see `INFO_TYPES`.
    """
    schema = SCHEMA.with_metadata({key: str(info[key]) for key in INFO_TYPES})
    # Dictionary encoding pays only for names, which repeat. Latents never do.
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=["voice", "split"])


def read_latents(path: Path, values: Frames | None = None) -> Latents:
    """Read a folder that a `LatentWriter` wrote.

    Args:
        path: the folder.
        values: its latents if they are not to be read, and not to be checked.

    Raises:
        InputError: there is no such folder, it does not hold latents of a single codec, or a number
            in it is not finite.
    """
    parts = sorted(path.glob("part-*.parquet"))
    if not parts:
        raise InputError(f"{path}: no latents; run the stage encode")
    try:
        columns = [name for name in SCHEMA.names if values is None or name != "latent"]
        tables = [pq.read_table(part, schema=SCHEMA, columns=columns) for part in parts]
        infos = [_read_info(pq.read_schema(part)) for part in parts]
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a folder of latents: {_one_line(error)}") from error
    if any(first != second for first, second in pairwise(infos)):
        raise InputError(f"{path}: parts are of different codecs; run the stage encode")
    table, info = pa.concat_tables(tables), infos[0]
    lengths = table["frames"].to_numpy().astype(np.int64)
    clip_ids = np.array(table["clip_id"].to_pylist(), dtype=str)
    rms_db, advice = _flat(table["rms_db"]), f"{path}: run the stage encode again"
    if values is None:
        values = _flat(table["latent"]).reshape(lengths.sum(), info["dim"])
        check_finite(values, lengths, clip_ids, advice)
    check_finite(rms_db[:, None], lengths, clip_ids, advice)
    return Latents(
        values=values,
        rms_db=rms_db,
        gated=_flat(table["gated"]),
        codes=_flat(table["codes"]).reshape(lengths.sum(), info["codebooks"]),
        lengths=lengths,
        clip_ids=clip_ids,
        voices=np.array(table["voice"].to_pylist(), dtype=str),
        splits=np.array(table["split"].to_pylist(), dtype=str),
        info=info,
    )


def check_finite(
    values: np.ndarray, lengths: np.ndarray, clip_ids: np.ndarray, advice: str
) -> None:
    """Check that all values are finite, since a single other one would spoil every result.

    Args:
        values: (frames, dim) values of all clips, one clip after the other.
        lengths: (clips,) number of frames of each clip.
        clip_ids: (clips,) str, names of the clips.
        advice: where the values come from and what to do, for the error message.

    Raises:
        InputError: a value is not finite. The message names the first clip with such a value.
    """
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if bad.size:
        clip = clip_ids[np.searchsorted(np.cumsum(lengths), bad[0], side="right")]
        raise InputError(f"clip {clip}: {bad.size} frames are not finite, this one first; {advice}")


def _read_info(schema: pa.Schema) -> dict[str, Any]:
    metadata = schema.metadata or {}
    return {key: kind(metadata[key.encode()].decode()) for key, kind in INFO_TYPES.items()}


def _list_array(arrays: Sequence[np.ndarray], kind: pa.DataType) -> pa.ListArray:
    offsets = np.cumsum([0, *(array.size for array in arrays)])
    flat = np.concatenate([array.ravel() for array in arrays])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat, kind))


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    chunks = (chunk.flatten() for chunk in column.chunks)
    return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
