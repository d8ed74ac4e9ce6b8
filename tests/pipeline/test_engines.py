"""On a Ray cluster as in this process: nothing lost, nothing twice, the same bytes in order."""

import errno
import importlib.util
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mimi_dynamics.encoding.corpus
import mimi_dynamics.encoding.shards
import mimi_dynamics.latents.store
import mimi_dynamics.speech.ingestion
from mimi_dynamics.encoding.corpus import ShardEncoder, ShardFacts, encode_corpus
from mimi_dynamics.encoding.shards import Part, PartWriter, Shard
from mimi_dynamics.latents.store import read_latents
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.engines import run_jobs
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path
from mimi_dynamics.pipeline.params import EncodeParams
from mimi_dynamics.speech.conversion import Clip, Converter
from mimi_dynamics.speech.corpora import Recording
from mimi_dynamics.speech.file_names import file_name
from mimi_dynamics.speech.ingestion import ingest_corpora
from tests.encoding.test_shards import CLIPS, write_clips
from tests.harness.audio_files import ingest_params, tone, write_sound, write_voices
from tests.harness.tiny_codec import load_tiny
from tests.speech.test_ingestion import tree

LOCAL = EncodeParams(batch_seconds=3.0, dtype="float32", engine="local")
RAY = LOCAL.model_copy(update={"engine": "ray"})
VICTIM = "c/4"  # of the second shard
RECORDING = "folder/voice0/take04.wav"  # of the second task


def die_once(log: Path, job: str, unfinished: Path, *, here: bool) -> None:
    """Write down who is at a job; if `here`, half-write a file and be killed, the first time."""
    log.mkdir(exist_ok=True)
    (log / f"{job}.{os.getpid()}").touch()
    if here and not (log / "killed").exists():
        (log / "killed").touch()
        with atomic_path(unfinished) as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)


def check_one_died(log: Path, jobs: int) -> None:
    """One job was done twice, the others once, by others than this process and by several."""
    assert (log / "killed").exists()
    runs = [path.name.rsplit(".", 1) for path in log.glob("*.*")]
    assert sorted(Counter(job for job, _ in runs).values()) == [1] * (jobs - 1) + [2]
    assert len({process for _, process in runs}) > 1
    assert str(os.getpid()) not in {process for _, process in runs}


@dataclass(frozen=True)
class MortalEncoder(ShardEncoder):
    """Does not survive its first attempt at the victim's shard."""

    def __call__(self, shards: Sequence[Shard]) -> Iterator[int]:
        """Encode shards, or die."""
        for shard in shards:
            log, here = shard.path.parent.parent / "encoded", VICTIM in set(shard.clips["clip_id"])
            die_once(log, shard.path.name, shard.path / "part-000.parquet", here=here)
        yield from super().__call__(shards)


@dataclass(frozen=True)
class MortalWriter(PartWriter):
    """Does not survive its first attempt at the second part."""

    def _write(self, part: Part) -> list[ShardFacts]:
        log, here = part.path.parent.parent / "gathered", part.path.stem == "part-001"
        die_once(log, part.path.stem, part.path, here=here)
        return super()._write(part)


@dataclass(frozen=True)
class MortalConverter(Converter):
    """Does not survive its first attempt at the victim's recording."""

    def __call__(self, recordings: Sequence[Recording]) -> Iterator[list[Clip]]:
        """Convert recordings, or die."""
        names, here = [file_name(one.clip_id) for one in recordings], Path.cwd()
        log, victim = here / "converted", file_name(RECORDING)
        die_once(log, names[0].replace("/", "-"), self.folder / victim, here=victim in names)
        yield from super().__call__(recordings)


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
def test_killed_workers_change_no_latent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One dies encoding, one gathering."""
    monkeypatch.setattr(mimi_dynamics.encoding.shards, "CLIPS_PER_SHARD", 2)
    monkeypatch.setattr(mimi_dynamics.latents.store, "GROUPS_PER_PART", 2)
    manifest, codec = write_clips(tmp_path), load_tiny(tmp_path)
    expected = encode_corpus(codec, manifest, tmp_path / "local", LOCAL, tmp_path / "work")
    monkeypatch.setattr(mimi_dynamics.encoding.corpus, "ShardEncoder", MortalEncoder)
    monkeypatch.setattr(mimi_dynamics.encoding.shards, "PartWriter", MortalWriter)
    found = encode_corpus(codec, manifest, tmp_path / "ray", RAY, tmp_path / "work")
    assert found == expected
    assert Counter(read_latents(tmp_path / "ray").clip_ids.tolist()) == Counter(
        f"c/{number}" for number in range(CLIPS)
    )
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")
    assert len(tree(tmp_path / "ray")) == 3
    check_one_died(tmp_path / "encoded", 5)
    check_one_died(tmp_path / "gathered", 3)
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_cluster")
def test_a_killed_worker_changes_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor its place, what is rejected or why; one of the same samples is in another task."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mimi_dynamics.speech.ingestion, "RECORDINGS_PER_TASK", 3)
    write_voices(tmp_path / "speech", clips=10)
    write_sound(tmp_path / "speech" / "voice1" / "again.wav", tone(0.3, 200, 16_000), 16_000)
    write_sound(tmp_path / "speech" / "voice1" / "quiet.wav", np.zeros(24_000, np.float32))
    local = ingest_params(folder={"path": "speech"})
    expected = ingest_corpora(local, Path("local"))
    monkeypatch.setattr(mimi_dynamics.speech.ingestion, "Converter", MortalConverter)
    found = ingest_corpora(local.model_copy(update={"engine": "ray"}), Path("ray"))
    manifest, rejected = expected
    manifest["path"] = manifest["path"].str.replace("local/", "ray/")
    pd.testing.assert_frame_equal(found[0], manifest)
    pd.testing.assert_frame_equal(found[1], rejected)
    assert rejected["reason"].tolist() == ["duplicate", "silent"]
    assert tree(Path("ray")) == tree(Path("local"))
    assert len(tree(Path("ray"))) == 20
    check_one_died(tmp_path / "converted", 8)


@pytest.mark.slow
@pytest.mark.usefixtures("_cluster")
def test_bad_input_on_a_cluster_ends_in_one_line(tmp_path: Path) -> None:
    manifest, codec = write_clips(tmp_path), load_tiny(tmp_path)
    (tmp_path / "3.flac").unlink()
    with pytest.raises(InputError, match=r"^\S*3\.flac: not readable; run the stage ingest$"):
        encode_corpus(codec, manifest, tmp_path / "latents", RAY, tmp_path / "work")
    assert not (tmp_path / "latents").exists()


@dataclass(frozen=True)
class Sleeper:
    """Takes the longer the earlier a job is; what is an error is raised."""

    cores: int

    def __call__(self, jobs: Sequence[int | Exception]) -> Iterator[int]:
        """Give all jobs again."""
        for job in jobs:
            if isinstance(job, Exception):
                raise job
            time.sleep(max(0, 0.5 - job / 10))
            yield job


@pytest.mark.slow
@pytest.mark.usefixtures("_cluster")
def test_a_cluster_keeps_order_and_errors() -> None:
    """Those that `run_stage` tells in one line, as they are where nothing is sent around."""
    jobs = list(range(10))
    for together in (1, 3, 99):
        assert list(run_jobs(Sleeper, jobs, "ray", "encode", together)) == jobs
    full = OSError(errno.ENOSPC, "No space left on device", "data/audio/a.flac")
    for error in (InputError("clip 5: no good"), full):
        with pytest.raises(type(error)) as caught:
            list(run_jobs(Sleeper, [*jobs, error], "ray", "encode", 3))
        assert str(caught.value) == str(error)
        assert vars(caught.value) == vars(error)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "data/audio/a.flac")


@pytest.mark.parametrize("stage", ["ingest", "encode"])
def test_without_ray_one_line_says_what_to_do(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"^{stage}\.engine = 'ray': Ray is not installed; `pip"):
        list(run_jobs(Sleeper, [1], "ray", stage))


def test_locally_one_worker_has_all_cores_and_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many go together on a cluster."""
    monkeypatch.setattr("mimi_dynamics.pipeline.engines.available_cores", lambda: 5)
    made = []

    def make_worker(cores: int) -> Sleeper:
        made.append(cores)
        return Sleeper(cores)

    assert list(run_jobs(make_worker, [7, 5, 6], "local", "ingest", 2)) == [7, 5, 6]
    assert made == [5]


def test_processes_convert_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, and to the same files."""
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    recordings = []
    for number in range(9):
        path = write_sound(tmp_path / f"{number}.wav", tone(0.3, 300 + 40 * number))
        recordings.append(Recording(f"{number}", f"{number}", "folder", "v", "", "a", path))
    found = []
    for cores in (1, 2):
        folder = tmp_path / f"by-{cores}"
        folder.mkdir()
        found.append((list(Converter(ingest_params(), folder, cores)(recordings)), tree(folder)))
    assert found[0] == found[1]
    assert [clip.clip_id for (clip,) in found[0][0]] == [str(number) for number in range(9)]


def test_a_recording_converted_twice_leaves_the_same(tmp_path: Path) -> None:
    """Over what a lost worker left, too."""
    path = write_sound(tmp_path / "a.wav", tone(0.3, 440))
    recording = Recording("a", "a", "folder", "v", "", "a", path)
    convert = Converter(ingest_params(), tmp_path / "audio", 1)
    first = list(convert([recording])), tree(tmp_path / "audio")
    (tmp_path / "audio" / "a.flac").write_bytes(b"half")
    assert (list(convert([recording])), tree(tmp_path / "audio")) == first
