"""On a Ray cluster as in this process: nothing lost, nothing twice, the same bytes."""

import importlib.util
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import mimi_dynamics.encoding
import mimi_dynamics.shards
from mimi_dynamics.encoding import ShardEncoder, encode_corpus
from mimi_dynamics.engines import run_jobs
from mimi_dynamics.errors import InputError
from mimi_dynamics.latents import LatentWriter, read_latents
from mimi_dynamics.params import EncodeParams
from mimi_dynamics.shards import Shard
from tests.test_shards import CLIPS, write_clips
from tests.tiny_codec import load_tiny

LOCAL = EncodeParams(batch_seconds=3.0, dtype="float32", engine="local")
RAY = LOCAL.model_copy(update={"engine": "ray"})
VICTIM = "c/4"  # of the second shard


@dataclass(frozen=True)
class MortalEncoder(ShardEncoder):
    """Writes down who encodes what; the first who has half-written the victim's shard is killed."""

    def __call__(self, shard: Shard) -> int:
        """Encode a shard, or die."""
        log = shard.path.parent.parent / "log"
        log.mkdir(exist_ok=True)
        first, mark = shard.clips["clip_id"].iloc[0], log / "killed"
        (log / f"{shard.path.name}.{os.getpid()}").touch()
        if VICTIM in set(shard.clips["clip_id"]) and not mark.exists():
            mark.write_text(first)
            with LatentWriter(shard.path, self.info):
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(shard)


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    """Two workers on this machine, whatever its cores."""
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 2, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("_cluster")
def test_a_killed_worker_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimi_dynamics.shards, "CLIPS_PER_SHARD", 2)
    manifest, codec = write_clips(tmp_path), load_tiny(tmp_path)
    expected = encode_corpus(codec, manifest, tmp_path / "local", LOCAL, tmp_path / "work")
    monkeypatch.setattr(mimi_dynamics.encoding, "ShardEncoder", MortalEncoder)
    found = encode_corpus(codec, manifest, tmp_path / "ray", RAY, tmp_path / "work")
    assert found == expected
    assert Counter(read_latents(tmp_path / "ray").clip_ids.tolist()) == Counter(
        f"c/{number}" for number in range(CLIPS)
    )
    part = "part-000.parquet"
    assert (tmp_path / "ray" / part).read_bytes() == (tmp_path / "local" / part).read_bytes()
    runs = [path.name.split(".") for path in (tmp_path / "log").glob("*.*")]
    assert (tmp_path / "log" / "killed").exists()
    assert sorted(Counter(name for name, _ in runs).values()) == [1, 1, 1, 1, 2]
    assert len({process for _, process in runs}) > 1
    assert str(os.getpid()) not in {process for _, process in runs}
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_cluster")
def test_bad_input_on_a_cluster_ends_in_one_line(tmp_path: Path) -> None:
    manifest, codec = write_clips(tmp_path), load_tiny(tmp_path)
    (tmp_path / "3.flac").unlink()
    with pytest.raises(InputError, match=r"^\S*3\.flac: not readable; run the stage ingest$"):
        encode_corpus(codec, manifest, tmp_path / "latents", RAY, tmp_path / "work")
    assert not (tmp_path / "latents").exists()


def test_without_ray_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"encode\.engine = 'ray': Ray is not installed; `pip"):
        list(run_jobs(lambda cores: print, [1], "ray"))


def test_locally_one_worker_has_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """And results come in the order of the jobs."""
    monkeypatch.setattr("mimi_dynamics.engines.available_cores", lambda: 5)
    made = []

    def make_worker(cores: int) -> object:
        made.append(cores)
        return lambda job: pd.Timedelta(job, "s").total_seconds()

    assert list(run_jobs(make_worker, [3, 1, 2], "local")) == [3, 1, 2]
    assert made == [5]
