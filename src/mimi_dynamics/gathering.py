"""Shards into a dataset: each of its parts is made of shards of its own, so many are made at once.

What is written is what one `LatentWriter` of all shards would write, byte for byte.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from moshi.utils.compile import no_compile
from tqdm import tqdm

from mimi_dynamics import latents
from mimi_dynamics.engines import run_jobs
from mimi_dynamics.files import atomic_path
from mimi_dynamics.parallel import one_thread_each
from mimi_dynamics.params import Engine
from mimi_dynamics.shards import Shard, read_shard, remove_others

Finding = TypeVar("Finding")
Inspect = Callable[[pa.Table], Finding]


@dataclass(frozen=True)
class Part:
    """A file of the dataset, with the folders of the shards that are its row groups."""

    path: Path
    shards: Sequence[Path]


@dataclass(frozen=True)
class PartWriter:
    """What writes parts, in whatever process.

    Attributes:
        info: what the latents are of; see `latents`.
        inspect: looks at the table of each shard on its way.
        cores: how many parts are written side by side. By threads: Parquet works outside Python's
            lock.
    """

    info: dict[str, Any]
    inspect: Inspect
    cores: int

    def __call__(self, parts: Sequence[Part]) -> Iterator[list[Finding]]:
        """Write parts, each in place once it is whole, and give what was found in their shards."""
        # As in `encode_group`, should `inspect` encode.
        with one_thread_each(), no_compile(), ThreadPoolExecutor(self.cores) as pool:
            yield from pool.map(self._write, parts)

    def _write(self, part: Part) -> list[Finding]:
        found = []
        with (
            atomic_path(part.path) as temporary,
            latents.open_part(temporary, self.info) as writer,
        ):
            for shard in part.shards:
                table = read_shard(shard)
                writer.write_table(table, row_group_size=len(table))
                found.append(self.inspect(table))
        return found


def gather_shards(
    shards: Sequence[Shard], path: Path, info: dict[str, Any], inspect: Inspect, engine: Engine
) -> list[Finding]:
    """Write the latents of all `shards` into the folder `path`, which is replaced whole.

    Args:
        shards: complete.
        path: folder of latents; see `latents`.
        info: what they are of.
        inspect: is given the table of each shard, in whatever process.
        engine: where.

    Returns:
        What `inspect` found, by shard.
    """
    folders, size = [shard.path for shard in shards], latents.GROUPS_PER_PART
    with atomic_path(path) as building:
        building.mkdir()
        parts = [
            Part(building / latents.part_name(number), folders[start : start + size])
            for number, start in enumerate(range(0, len(shards), size))
        ]
        found: list[Finding] = []
        make_writer = partial(PartWriter, info, inspect)
        with tqdm(desc="gather", total=len(shards), unit="shard", disable=None) as bar:
            for in_part in run_jobs(make_writer, parts, engine, "encode"):
                found += in_part
                bar.update(len(in_part))
        remove_others(building, {part.path.name for part in parts})
    return found
