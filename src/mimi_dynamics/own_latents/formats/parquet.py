"""Parquet: the folder that the stage `encode` writes, and plain tables of anyone.

A plain table has a row a clip, with a column of lists of lists, or a row a frame. The latter has a
column of lists of numbers, or a column a coordinate, and may have the columns `clip` (or
`clip_id`), whose rows stand together, `voice` and `split`.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from mimi_dynamics.latents.store import INFO_TYPES
from mimi_dynamics.own_latents.clips import Clip, Source, check_kind
from mimi_dynamics.pipeline.errors import InputError

OURS = ("clip_id", "voice", "split", "frames", "latent", "rms_db", "gated")
CLIP_NAMES = ("clip", "clip_id")
NOT_LATENTS = (*CLIP_NAMES, "voice", "split")
NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}
LAYOUT = (
    "must have a row a clip with lists of frames, or a row a frame, whose numbers are a list or a "
    "column each, beside clip, voice and split"
)


class Table(NamedTuple):
    """What the columns of a file are.

    Attributes:
        kind: `clips` or `frames`, what a row is.
        numbers: the columns that hold latents.
        clip: the column that names clips; None if there is none.
        beside: of `voice` and `split`, those that are there.
    """

    kind: str
    numbers: list[str]
    clip: str | None
    beside: list[str]


def read(path: Path) -> Source:
    """List the clips of a file, or of all files of a folder; row groups are read when needed.

    Raises:
        InputError: a file is not readable as Parquet, or has other columns.
    """
    _group.cache_clear()  # The file may have been written anew.
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    clips: list[Clip] = []
    metadata: dict[bytes, bytes] = {}
    for file in files:
        try:
            opened = pq.ParquetFile(file)
            schema, groups = opened.schema_arrow, opened.num_row_groups
            ours = set(OURS) <= set(schema.names)
            metadata = (schema.metadata or {}) if ours else {}
            each = _clips_of_ours if ours else _clips_of_plain
            clips += [clip for group in range(groups) for clip in each(file, group, schema)]
        except (OSError, pa.ArrowException) as error:
            told = " ".join(str(error).split())
            raise InputError(f"{file}: not readable as Parquet: {told}; write it again") from error
    info = {key: metadata[key.encode()].decode() for key in INFO_TYPES if key.encode() in metadata}
    rate = info.get("frame_rate")
    return Source(str(path), _joined(clips), float(rate) if rate else None, info)


def _clips_of_ours(file: Path, group: int, schema: pa.Schema) -> Iterator[Clip]:
    """Yield the clips of a row group that `LatentWriter` wrote, with their levels and gates."""
    table = pq.ParquetFile(file).read_row_group(group, columns=[c for c in OURS if c != "latent"])
    dim = int(schema.metadata[b"dim"])
    start = 0
    for row in table.to_pylist():
        yield Clip(
            name=f"{file}, clip {row['clip_id']!r}",
            key=row["clip_id"],
            shape=(row["frames"], dim),
            dtype="float32",
            read=_reader(file, group, ("latent",), start, dim),
            voice=row["voice"],
            split=row["split"],
            rms_db=np.array(row["rms_db"], np.float32),
            gated=np.array(row["gated"], bool),
        )
        start += row["frames"]


def _clips_of_plain(file: Path, group: int, schema: pa.Schema) -> Iterator[Clip]:
    """Yield the clips of a row group of a plain table, or what it holds of them."""
    table = _layout(file, schema)
    known = pq.ParquetFile(file).read_row_group(
        group, columns=[name for name in (table.clip, *table.beside) if name]
    )
    beside = {name: [str(of) for of in known[name].to_pylist()] for name in table.beside}
    names = [str(of) for of in known[table.clip].to_pylist()] if table.clip else None
    numbers = tuple(table.numbers)
    if table.kind == "clips":
        lists = pq.ParquetFile(file).read_row_group(group, columns=table.numbers)
        lists = lists[table.numbers[0]].combine_chunks()
        dim, dtype = _dim_of_lists(file, lists.flatten()), str(lists.type.value_type.value_type)
        lengths = lists.value_lengths().to_numpy(zero_copy_only=False).astype(int)
    else:
        dim, dtype = _dim_of_frames(file, group, schema, table)
        rows = pq.ParquetFile(file).metadata.row_group(group).num_rows
        lengths = _runs(names) if names else np.array([rows])
    starts = np.cumsum(lengths) - lengths
    for place, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        row = place if table.kind == "clips" else int(start)
        name = names[row] if names else (f"{group}/{place}" if table.kind == "clips" else "")
        label = f"{file}, clip {name!r}" if name else str(file)
        shape, stored = (int(length), dim), NAMES.get(dtype, dtype)
        check_kind(label, shape, stored)
        yield Clip(
            label,
            name or file.stem,
            shape,
            stored,
            _reader(file, group, numbers, int(start), dim),
            voice=beside["voice"][row] if "voice" in beside else None,
            split=beside["split"][row] if "split" in beside else None,
        )


def _layout(file: Path, schema: pa.Schema) -> Table:
    clip = next((name for name in CLIP_NAMES if name in schema.names), None)
    beside = [name for name in ("voice", "split") if name in schema.names]
    fields = [field for field in schema if field.name not in NOT_LATENTS]
    lists = [field for field in fields if _is_list(field.type)]
    if len(lists) == 1:
        kind = "clips" if _is_list(lists[0].type.value_type) else "frames"
        return Table(kind, [lists[0].name], clip, beside)
    numbers = [field.name for field in fields if types.is_floating(field.type)]
    if lists or not numbers or len(numbers) < len(fields):
        raise InputError(f"{file}: columns {', '.join(schema.names)}: {LAYOUT}")
    return Table("frames", numbers, clip, beside)


def _is_list(kind: pa.DataType) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _dim_of_lists(file: Path, frames: pa.Array) -> int:
    """Give the length that all lists have.

    Raises:
        InputError: they differ.
    """
    lengths = np.unique(frames.value_lengths().to_numpy(zero_copy_only=False))
    if len(lengths) != 1:
        raise InputError(
            f"{file}: frames of {', '.join(f'{n:g}' for n in lengths[:3])} numbers: all must have "
            "as many"
        )
    return int(lengths[0])


def _dim_of_frames(file: Path, group: int, schema: pa.Schema, table: Table) -> tuple[int, str]:
    kind = schema.field(table.numbers[0]).type
    if not _is_list(kind):
        return len(table.numbers), str(kind)
    column = pq.ParquetFile(file).read_row_group(group, columns=table.numbers)[table.numbers[0]]
    return _dim_of_lists(file, column.combine_chunks()), str(kind.value_type)


def _runs(names: list[str]) -> np.ndarray:
    """Give the number of rows of each run of the same name."""
    changes = [place for place in range(1, len(names)) if names[place] != names[place - 1]]
    return np.diff([0, *changes, len(names)])


def _reader(
    file: Path, group: int, numbers: tuple[str, ...], start: int, dim: int
) -> Callable[[int, int], np.ndarray]:
    def read_part(first: int, last: int) -> np.ndarray:
        return _group(file, group, numbers, dim)[start + first : start + last]

    return read_part


@lru_cache(maxsize=1)
def _group(file: Path, group: int, numbers: tuple[str, ...], dim: int) -> np.ndarray:
    """Read the numbers of a row group as (frames, dim), kept while its clips are read."""
    try:
        table = pq.ParquetFile(file).read_row_group(group, columns=list(numbers))
    except (OSError, pa.ArrowException) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{file}: not readable as Parquet: {told}; write it again") from error
    columns = []
    for name in numbers:
        values = table[name].combine_chunks()
        while _is_list(values.type):
            values = values.flatten()
        columns.append(values.to_numpy(zero_copy_only=False))
    return columns[0].reshape(-1, dim) if len(columns) == 1 else np.stack(columns, 1)


def _joined(clips: list[Clip]) -> list[Clip]:
    """Join the parts of clips that lie in row groups one after the other."""
    joined: list[list[Clip]] = []
    for clip in clips:
        if joined and joined[-1][0].name == clip.name:
            joined[-1].append(clip)
        else:
            joined.append([clip])
    return [parts[0] if len(parts) == 1 else _one_clip(parts) for parts in joined]


def _one_clip(parts: list[Clip]) -> Clip:
    ends = np.cumsum([part.frames for part in parts])

    def read_part(first: int, last: int) -> np.ndarray:
        read = [
            part.read(max(first - start, 0), min(last - start, part.frames))
            for part, start in zip(parts, ends - [part.frames for part in parts], strict=True)
            if start < last and first < start + part.frames
        ]
        return np.concatenate(read)

    first = parts[0]
    shape = (int(ends[-1]), first.shape[1])
    return Clip(first.name, first.key, shape, first.dtype, read_part, first.voice, first.split)
