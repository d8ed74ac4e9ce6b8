"""What one machine computed, another takes from a bucket, and runs nothing: the README's recipe."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from ruamel.yaml import YAML

from tests.harness.small_pipeline import make_clone, run

BUCKET = "speech"
FIRST_STAGES = ("sources", "ingest", "codec", "encode", "normalize")


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an S3 server of this machine with an empty bucket, and what lets us in."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
    yield address
    server.stop()


def keep_first_stages(clone: Path) -> None:
    """The pipeline as far as latents and their coordinates, which takes seconds."""
    yaml = YAML()
    pipeline = yaml.load(clone / "dvc.yaml")
    stages = {name: stage for name, stage in pipeline["stages"].items() if name in FIRST_STAGES}
    assert len(stages) == len(FIRST_STAGES)
    yaml.dump({"stages": stages}, clone / "dvc.yaml")
    (clone / "dvc.lock").unlink()


def add_remote(clone: Path, endpoint: str) -> None:
    """As the README has it."""
    run(clone, *f"dvc remote add --local -d store s3://{BUCKET}/mimi-dynamics".split())
    run(clone, *f"dvc remote modify --local store endpointurl {endpoint}".split())


def files(folder: Path) -> dict[str, bytes]:
    """All in a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_push_clone_pull_and_nothing_runs(tmp_path: Path, endpoint: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    make_clone(first)
    keep_first_stages(first)
    run(first, "dvc", "repro")
    run(first, "git", "add", "-A")
    run(first, "git", "commit", "-qm", "results")
    add_remote(first, endpoint)
    run(first, "dvc", "push")
    stored = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket=BUCKET)
    assert stored["KeyCount"] > len(files(first / "data" / "audio"))
    assert all(one["Key"].startswith("mimi-dynamics/") for one in stored["Contents"])

    run(tmp_path, "git", "clone", "-q", os.fspath(first), os.fspath(second))
    assert not (second / "data").exists()
    add_remote(second, endpoint)
    run(second, "dvc", "pull")
    assert files(second / "data") == files(first / "data")
    repro = run(second, "dvc", "repro").stdout
    assert "Running stage" not in repro
    assert "Data and pipelines are up to date." in repro
    assert run(second, "git", "status", "--porcelain").stdout == ""
