"""`make mimi` as a user runs it, on weights of Mimi's shape and a minute of made-up speech."""

import hashlib
import sys
from pathlib import Path

import pytest

from mimi_dynamics.results.files import path_of, read
from mimi_dynamics.results.row import Row
from tests.harness.small_pipeline import make_clone, run
from tests.harness.tiny_codec import write_random_mimi


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository, committed, with this environment as its own."""
    folder = tmp_path_factory.mktemp("repository")
    make_clone(folder, clips_per_voice=10)
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "settings")
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        (folder / ".venv" / part.name).symlink_to(part)
    return folder


def make_mimi(repository: Path, weights: Path) -> tuple[str, Row]:
    """Run the command, all but what installs; what it prints, and the row, which alone is new."""
    said = run(
        repository, "make", "--no-print-directory", "-o", "install", "mimi", f"WEIGHTS={weights}"
    ).stdout
    mark, path = run(repository, "git", "status", "--short").stdout.split()
    assert mark == "??"
    return said, read(repository / path)


@pytest.mark.slow
@pytest.mark.trains
def test_from_weights_to_a_row(repository: Path, tmp_path: Path) -> None:
    """Of another sha256 than Kyutai's, which the row says; a second run has nothing to do."""
    weights = tmp_path / "random mimi.safetensors"
    write_random_mimi(weights)
    said, row = make_mimi(repository, weights)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (row.codec.name, row.codec.weights_sha256) == ("mimi", sha256)
    assert not row.codec.weights_published
    assert (row.latents.dim, row.codec.frame_rate, row.codec.bits_per_s) == (512, 12.5, 1100)
    assert row.corpus.clips == 30
    assert row.project.commit == run(repository, "git", "rev-parse", "HEAD").stdout.strip()
    assert row.test.speech_borne_gain is not None
    assert row.test_voice is not None
    assert f"{sha256}, which are not the published ones" in said
    assert said.rstrip().endswith(path_of(row).as_posix())

    again, same = make_mimi(repository, weights)
    assert same == row
    assert "Stage 'encode' didn't change, skipping" in again
