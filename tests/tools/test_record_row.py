"""The row of results of the codec that the committed metrics are of."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import record_row
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.results.files import read
from mimi_dynamics.results.row import Row
from mimi_dynamics.studies.codec_row.records import row_path
from mimi_dynamics.studies.codec_row.subjects import RUN
from tests.harness import ROOT

WEIGHTS = record_row.WEIGHTS["mimi-mini"]


def git(folder: Path, *arguments: str) -> str:
    """What git says."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with all that the row is made of."""
    for path in (*record_row.READ, row_path(RUN), row_path("lyra"), WEIGHTS):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "results")
    return tmp_path


def test_it_names_the_weights_and_the_commit_in_which_they_and_the_numbers_are(
    folder: Path,
) -> None:
    measured = git(folder, "rev-parse", "HEAD")
    git(folder, "commit", "-q", "--allow-empty", "-m", "later")
    row = read(record_row.record(folder))
    assert isinstance(row, Row)
    assert row.project.commit == measured
    assert row.codec.revision == f"{WEIGHTS}@{measured}"
    assert row.test_voice is not None


def test_codecs_beside_it_that_their_makers_published_have_rows(folder: Path) -> None:
    """Their numbers are those of the table of codecs."""
    (path,) = record_row.record_published(folder)
    row = read(path)
    assert isinstance(row, Row)
    assert (row.codec.name, row.codec.weights_published) == ("lyra", True)
    told = json.loads((ROOT / row_path("lyra")).read_text())
    assert row.test.dynamic_gain.nats_per_dim == told["dynamic_gain_nats_per_dim"]
    assert row.project.commit == git(folder, "rev-parse", "HEAD")
    (folder / row_path("lyra")).write_text("{}")
    with pytest.raises(InputError, match=r"not as it was committed: .*lyra\.json"):
        record_row.record_published(folder)


def test_what_is_not_committed_is_refused(folder: Path) -> None:
    path = folder / record_row.READ[0]
    path.write_text(path.read_text() + " ")
    with pytest.raises(InputError, match=r"not as it was committed: metrics/detail/ingest\.json"):
        record_row.record(folder)


def test_weights_that_came_after_the_numbers_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"others")
    git(folder, "commit", "-qam", "others")
    with pytest.raises(InputError, match="has changed since it was measured"):
        record_row.record(folder)
