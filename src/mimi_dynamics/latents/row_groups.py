"""Read latents on disk by row group: what the file footers say, and the frames that models see.

A folder of 100 hours of latents of 512 dimensions takes 9 GB and more; no more than one row group
of it at a time is in memory as encoded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import torch
from pyarrow.fs import LocalFileSystem

from mimi_dynamics.latents.normalizer import Normalizer, normalized_sequences
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import SCHEMA, Latents, check_finite
from mimi_dynamics.pipeline.errors import InputError


@dataclass(frozen=True)
class RowGroup:
    """What the footer of a Parquet file says about one of its row groups.

    Attributes:
        part: path of the file.
        index: number of the row group within the file.
        split: the split of all its clips.
        frames: number of frames of all its clips together.
        dim: number of coordinates of a latent as encoded.
        frame_rate: frames a second.
    """

    part: str
    index: int
    split: str
    frames: int
    dim: int
    frame_rate: float

    def read(self, columns: list[str]) -> pa.Table:
        """Read some columns of the row group, with a row for each clip."""
        fragment = ds.ParquetFileFormat().make_fragment(
            self.part, LocalFileSystem(), row_groups=[self.index]
        )
        return fragment.to_table(schema=SCHEMA, columns=columns, use_threads=False)


class EncodedFrames:
    """Latents of all clips as encoded, which stay on disk until rows of them are asked for.

    Args:
        groups: the row groups, in the order of their frames.
    """

    def __init__(self, groups: Sequence[RowGroup]) -> None:
        self.groups = groups
        self.ends = np.cumsum([group.frames for group in groups])

    @property
    def shape(self) -> tuple[int, ...]:
        """Give the number of frames, and of coordinates of each."""
        return int(self.ends[-1]), self.groups[0].dim

    def __len__(self) -> int:
        """Give the number of frames."""
        return int(self.ends[-1])

    def __getitem__(self, rows: slice | np.ndarray, /) -> np.ndarray:
        """Give (rows, dim) float32 of a slice without a step, or of a (frames,) bool array.

        Raises:
            InputError: one of them is not finite.
        """
        if isinstance(rows, slice):
            wanted = np.zeros(len(self), bool)
            wanted[rows] = True
            rows = wanted
        found = [np.zeros((0, self.groups[0].dim), np.float32)]
        for group, end in zip(self.groups, self.ends, strict=True):
            here = rows[end - group.frames : end]
            if here.any():
                found.append(_encoded(group.read(COLUMNS), group)[here])
        return np.concatenate(found)

    def check(self) -> None:
        """Look at every number once, a row group at a time.

        Raises:
            InputError: one of them is not finite.
        """
        for group in self.groups:
            _encoded(group.read(COLUMNS), group)


def row_groups(path: Path) -> list[RowGroup]:
    """List all row groups of a folder of latents. This reads only the footers of its files.

    Raises:
        InputError: there is no such folder, or it is not a folder of latents.
    """
    if not list(path.glob("part-*.parquet")):
        raise InputError(f"{path}: no latents; run the stage encode")
    try:
        data = ds.dataset(path, schema=SCHEMA, format="parquet")
        pieces = [piece for file in data.get_fragments() for piece in file.split_by_row_group()]
        if len({str(piece.metadata.metadata) for piece in pieces}) > 1:
            raise InputError(f"{path}: parts are of different codecs; run the stage encode")
        return [_row_group(piece) for piece in pieces]
    except (pa.ArrowException, KeyError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path}: not a folder of latents: {problem}") from error


def _row_group(piece: ds.ParquetFileFragment) -> RowGroup:
    (group,) = piece.row_groups
    levels = SCHEMA.get_field_index("rms_db")  # This column has one value for every frame.
    return RowGroup(
        part=piece.path,
        index=group.id,
        split=group.statistics["split"]["min"],
        frames=piece.metadata.row_group(group.id).column(levels).num_values,
        dim=int(piece.metadata.metadata[b"dim"]),
        frame_rate=float(piece.metadata.metadata[b"frame_rate"]),
    )


def read_groups(
    groups: Iterable[RowGroup], normalizer: Normalizer, voiced_range_db: float
) -> Sequences:
    """Read row groups into the whitened sequences that models see.

    Only one row group at a time is in memory in its encoded form.

    Args:
        groups: what to read.
        normalizer: what whitens the latents.
        voiced_range_db: see `voiced_frames`.

    Raises:
        InputError: a number in a row group is not finite.
    """
    pieces = [_read_group(group, normalizer, voiced_range_db) for group in groups]
    return Sequences(
        frames=torch.cat([piece.frames for piece in pieces]),
        voiced=torch.cat([piece.voiced for piece in pieces]),
        gated=torch.cat([piece.gated for piece in pieces]),
        lengths=np.concatenate([piece.lengths for piece in pieces]),
        splits=np.concatenate([piece.splits for piece in pieces]),
        frame_rate=pieces[0].frame_rate,
    )


COLUMNS = ["clip_id", "frames", "latent"]


def _encoded(table: pa.Table, group: RowGroup) -> np.ndarray:
    """Give the (frames, dim) float32 latents of a row group, of which `COLUMNS` have been read."""
    values = _numbers(table, "latent").reshape(-1, group.dim)
    _check(values, table, group)
    return values


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    return table.combine_chunks()[name].chunk(0).flatten().to_numpy(zero_copy_only=False)


def _check(numbers: np.ndarray, table: pa.Table, group: RowGroup) -> None:
    lengths = table["frames"].to_numpy().astype(np.int64)
    clip_ids = np.array(table["clip_id"].to_pylist(), dtype=str)
    check_finite(numbers, lengths, clip_ids, f"{group.part}: run the stage encode again")


def _read_group(group: RowGroup, normalizer: Normalizer, voiced_range_db: float) -> Sequences:
    table = group.read([*COLUMNS, "rms_db", "gated"])
    lengths = table["frames"].to_numpy().astype(np.int64)
    values, rms_db = _encoded(table, group), _numbers(table, "rms_db")
    _check(rms_db[:, None], table, group)
    gated = _numbers(table, "gated")
    latents = Latents(
        values=values,
        rms_db=rms_db,
        gated=gated,
        codes=np.zeros((0, 0), np.int16),
        lengths=lengths,
        clip_ids=np.full(len(lengths), ""),
        voices=np.full(len(lengths), ""),
        splits=np.full(len(lengths), group.split),
        info={"frame_rate": group.frame_rate},
    )
    return normalized_sequences(latents, normalizer, voiced_range_db)
