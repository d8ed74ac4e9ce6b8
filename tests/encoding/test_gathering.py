"""Parts written side by side are those that one writer of all shards would write, byte for byte."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mimi_dynamics.latents.store
from mimi_dynamics.encoding.shards import Part, PartWriter, Shard, gather_shards
from mimi_dynamics.latents.store import SCHEMA, LatentWriter
from mimi_dynamics.pipeline import engines
from mimi_dynamics.pipeline.errors import InputError
from tests.latents.test_store import INFO, clip
from tests.speech.test_ingestion import tree

GROUPS = [[clip(3 * group + n, "train") for n in range(3)] for group in range(7)]  # 2 + 2 + 2 + 1
PARTS = [f"part-{number:03d}.parquet" for number in range(4)]


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Shard]:
    """Seven shards, for four parts of two at most."""
    monkeypatch.setattr(mimi_dynamics.latents.store, "GROUPS_PER_PART", 2)
    found = []
    for number, group in enumerate(GROUPS):
        path = tmp_path / "shards" / str(number)
        with LatentWriter(path, INFO) as writer:
            writer.write(group)
        found.append(Shard(None, path))
    return found


def clips_of(table: pa.Table) -> list[str]:
    """What a shard is asked for here."""
    return table["clip_id"].to_pylist()


@pytest.mark.parametrize("cores", [1, 3])
def test_parts_are_those_of_one_writer(
    shards: list[Shard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """On any number of cores; also those of a writer of tables, as it was up to 0.1.0."""
    monkeypatch.setattr(engines, "available_cores", lambda: cores)
    (tmp_path / "latents").mkdir()
    (tmp_path / "latents" / "part-009.parquet").write_text("old")
    found = gather_shards(shards, tmp_path / "latents", INFO, clips_of, "local")
    assert found == [[one.clip_id for one in group] for group in GROUPS]
    with LatentWriter(tmp_path / "together", INFO) as writer:
        for group in GROUPS:
            writer.write(group)
    gathered = tree(tmp_path / "latents")
    assert sorted(gathered) == PARTS
    assert gathered == tree(tmp_path / "together")
    schema = SCHEMA.with_metadata({key: str(value) for key, value in INFO.items()})
    options = {"compression": "zstd", "use_dictionary": ["voice", "split"]}
    for number, name in enumerate(PARTS):
        with pq.ParquetWriter(tmp_path / "one", schema, **options) as part:
            for shard in shards[2 * number : 2 * number + 2]:
                table = pq.read_table(shard.path / "part-000.parquet", schema=SCHEMA)
                part.write_table(table, row_group_size=len(table))
        assert (tmp_path / "one").read_bytes() == gathered[name]


def test_a_part_written_twice_is_the_same(shards: list[Shard], tmp_path: Path) -> None:
    """As where a machine is lost that had written it."""
    part = Part(tmp_path / "part.parquet", [shard.path for shard in shards[:2]])
    write = PartWriter(INFO, clips_of, 1)
    first = next(write([part])), part.path.read_bytes()
    part.path.write_bytes(b"half")
    assert (next(write([part])), part.path.read_bytes()) == first


def test_what_lost_workers_and_killed_runs_left_is_not_in_the_dataset(
    shards: list[Shard], tmp_path: Path
) -> None:
    """Nor are the shards touched, and a failure leaves the old folder."""

    def litter(table: pa.Table) -> None:
        building = next(tmp_path.glob(".latents.*.tmp"))
        (building / ".part-000.99999.tmp.parquet").write_text("half")

    gather_shards(shards, tmp_path / "latents", INFO, litter, "local")
    assert sorted(path.name for path in (tmp_path / "latents").iterdir()) == PARTS
    before = tree(tmp_path)

    def refuse(table: pa.Table) -> None:
        if "c/12" in clips_of(table):
            raise InputError("clip c/12: no good")

    with pytest.raises(InputError, match=r"^clip c/12: no good$"):
        gather_shards(shards, tmp_path / "latents", INFO, refuse, "local")
    assert tree(tmp_path) == before


def test_numbers_come_back_by_shard(shards: list[Shard], tmp_path: Path) -> None:
    """In the order of the shards, though parts are done side by side."""

    def finite(table: pa.Table) -> int:
        return int(np.isfinite(table["latent"].combine_chunks().flatten().to_numpy()).sum())

    found = gather_shards(shards, tmp_path / "latents", INFO, finite, "local")
    assert found == [sum(one.latent.size for one in group) for group in GROUPS]
