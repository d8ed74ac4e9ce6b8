"""Divide a manifest into shards, which are jobs for an engine and survive a killed run.

The latents of a shard are in a folder of their own, named by a hash of all that they depend on. So
a folder with that name is complete and can be used again. A folder that was made with other
weights, settings, audio or code has another name, and is removed.
"""

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from moshi.utils.compile import no_compile
from tqdm import tqdm

from mimi_dynamics.latents import store
from mimi_dynamics.latents.store import SCHEMA, part_name
from mimi_dynamics.pipeline.conventions import SPLITS
from mimi_dynamics.pipeline.engines import run_jobs
from mimi_dynamics.pipeline.files import atomic_path, remove
from mimi_dynamics.pipeline.parallel import one_thread_each
from mimi_dynamics.pipeline.params import Engine

# With clips of up to two minutes, this is at most 100 MB of latents in memory for mimi-mini.
CLIPS_PER_SHARD = 128


@dataclass(frozen=True)
class Shard:
    """Clips of one split that are encoded together.

    Attributes:
        clips: rows of the manifest.
        path: folder of their latents, which a `LatentWriter` writes as a single row group.
    """

    clips: pd.DataFrame
    path: Path

    @property
    def is_complete(self) -> bool:
        """Tell whether all latents of the shard are there."""
        try:
            return pq.read_metadata(_file(self.path)).num_rows == len(self.clips)
        except (OSError, pa.ArrowException):  # It is missing, or was damaged by a loss of power.
            return False


def plan_shards(manifest: pd.DataFrame, folder: Path, recipe: str) -> list[Shard]:
    """Divide the clips of `manifest` into shards, by split and then in the manifest's order.

    Args:
        manifest: one row per clip: `clip_id`, `voice`, `split`, `path`, `seconds`.
        folder: the folder that is to hold the folders of the shards.
        recipe: text that describes all that latents depend on besides the clips.
    """
    return [Shard(clips, folder / _name(clips, recipe)) for clips in _shares(manifest)]


def read_shard(path: Path) -> pa.Table:
    """Read the latents of the shard in the folder `path`, with a row for each clip."""
    return pq.read_table(_file(path), schema=SCHEMA)


def remove_others(folder: Path, names: Container[str]) -> None:
    """Remove all entries of `folder` except `names`, as they are useless or half-written."""
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
        row = clip.clip_id, clip.voice, clip.split, clip.seconds, clip.gated.tolist(), clip.path
        digest.update(repr((*row, _state(Path(clip.path)))).encode())
    return digest.hexdigest()[:32]


def _state(path: Path) -> tuple[int, int] | None:
    """Give the size and the modification time of a file, by which git and DVC, too, see changes.

    A hash is not used, since all audio would have to be read for it.
    """
    try:
        state = path.stat()
    except OSError:  # Whoever reads the file reports the error.
        return None
    return state.st_size, state.st_mtime_ns


Finding = TypeVar("Finding")


Inspect = Callable[[pa.Table], Finding]


@dataclass(frozen=True)
class Part:
    """A file of the dataset.

    Attributes:
        path: the file.
        shards: the folders of the shards that become its row groups.
    """

    path: Path
    shards: Sequence[Path]


@dataclass(frozen=True)
class PartWriter(Generic[Finding]):
    """Writes parts. It can be sent to any process.

    Attributes:
        info: describes the latents; see `store.INFO_TYPES`.
        inspect: is called with the table of each shard.
        cores: how many parts are written at the same time. They are written by threads, since
            Parquet does not hold Python's lock while it works.
    """

    info: dict[str, Any]
    inspect: Inspect[Finding]
    cores: int

    def __call__(self, parts: Sequence[Part]) -> Iterator[list[Finding]]:
        """Write parts atomically, and yield for each what `inspect` found in its shards."""
        # `inspect` may encode, and then needs the same precautions as `encode_group`.
        with one_thread_each(), no_compile(), ThreadPoolExecutor(self.cores) as pool:
            yield from pool.map(self._write, parts)

    def _write(self, part: Part) -> list[Finding]:
        findings: list[Finding] = []
        with (
            atomic_path(part.path) as temporary,
            store.open_part(temporary, self.info) as writer,
        ):
            for shard in part.shards:
                table = read_shard(shard)
                writer.write_table(table, row_group_size=len(table))
                findings.append(self.inspect(table))
        return findings


def gather_shards(
    shards: Sequence[Shard],
    path: Path,
    info: dict[str, Any],
    inspect: Inspect[Finding],
    engine: Engine,
) -> list[Finding]:
    """Write the latents of all `shards` into the folder `path`, which is replaced as a whole.

    Args:
        shards: the shards, all of which must be complete.
        path: folder of latents; see `store`.
        info: describes the latents; see `store.INFO_TYPES`.
        inspect: is called with the table of each shard, in any process.
        engine: where to write the parts: `local` or `ray`.

    Returns:
        What `inspect` found in each shard, in the order of `shards`.
    """
    folders, size = [shard.path for shard in shards], store.GROUPS_PER_PART
    with atomic_path(path) as building:
        building.mkdir()
        parts = [
            Part(building / store.part_name(number), folders[start : start + size])
            for number, start in enumerate(range(0, len(shards), size))
        ]
        findings: list[Finding] = []
        make_writer: Callable[[int], PartWriter[Finding]] = partial(PartWriter, info, inspect)
        with tqdm(desc="gather", total=len(shards), unit="shard", disable=None) as bar:
            for in_part in run_jobs(make_writer, parts, engine, "encode"):
                findings += in_part
                bar.update(len(in_part))
        remove_others(building, {part.path.name for part in parts})
    return findings
