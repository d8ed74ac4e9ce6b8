"""A manifest in shards: the unit of work of an engine, and of what a killed run need not do again.

A shard becomes a folder of latents under a working folder, named by a hash of all that it depends
on. So one that is there is complete, and one made with other weights, settings, audio or code has
another name: it is not used, but removed.
"""

import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mimi_dynamics.files import remove
from mimi_dynamics.latents import SCHEMA, part_name
from mimi_dynamics.splits import SPLITS

CLIPS_PER_SHARD = 128  # of up to two minutes: 100 MB of latents held at most for mimi-mini


@dataclass(frozen=True)
class Shard:
    """Clips of one split that are encoded together.

    Attributes:
        clips: rows of the manifest.
        path: folder of their latents, written by a `LatentWriter` as one row group.
    """

    clips: pd.DataFrame
    path: Path

    @property
    def is_complete(self) -> bool:
        """Whether all of its latents are there."""
        try:
            return pq.read_metadata(_file(self.path)).num_rows == len(self.clips)
        except (OSError, pa.ArrowException):  # not there, or of a machine that lost power
            return False


def plan_shards(manifest: pd.DataFrame, folder: Path, recipe: str) -> list[Shard]:
    """Share the clips of `manifest` out into shards, by split and then in the manifest's order.

    Args:
        manifest: one row per clip: `clip_id`, `voice`, `split`, `path`, `seconds`.
        folder: of the shards' folders.
        recipe: says all that latents depend on besides the clips.
    """
    return [Shard(clips, folder / _name(clips, recipe)) for clips in _shares(manifest)]


def read_shard(path: Path) -> pa.Table:
    """Read the latents of the shard in the folder `path`: a row for each clip."""
    return pq.read_table(_file(path), schema=SCHEMA)


def remove_others(folder: Path, names: Container[str]) -> None:
    """Remove from `folder` all but `names`: what is of no use, or was left half-written."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name not in names:
            remove(path)


def _file(folder: Path) -> Path:
    return folder / part_name(0)


def _shares(manifest: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for split in SPLITS:
        clips = manifest[manifest["split"] == split]
        for start in range(0, len(clips), CLIPS_PER_SHARD):
            yield clips.iloc[start : start + CLIPS_PER_SHARD]


def _name(clips: pd.DataFrame, recipe: str) -> str:
    digest = hashlib.sha256(recipe.encode())
    for clip in clips.itertuples():
        row = clip.clip_id, clip.voice, clip.split, clip.seconds, clip.path, _state(Path(clip.path))
        digest.update(repr(row).encode())
    return digest.hexdigest()[:32]


def _state(path: Path) -> tuple[int, int] | None:
    """What tells git and DVC that a file may have changed: a hash would take reading all audio."""
    try:
        found = path.stat()
    except OSError:  # the one who reads it says so
        return None
    return found.st_size, found.st_mtime_ns
