"""Rows of results: what they say of a run, and which files are none."""

import json
import shutil
from pathlib import Path

import pytest

from mimi_dynamics import __version__
from mimi_dynamics.codec.mimi import MIMI_REVISION, MIMI_SHA256
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.results.files import FOLDER, path_of, read, save
from mimi_dynamics.results.latents_row import LatentsRow
from mimi_dynamics.results.measured import row_of_run
from mimi_dynamics.results.row import Row, as_text
from tests.harness import ROOT
from tests.harness.run_of_mimi import MEASURED, change, write_run_of_mimi

COMMIT = "0123456789" * 4
OTHER = "ab" * 32


@pytest.fixture
def run_of_mimi(tmp_path: Path) -> Path:
    """A folder that is as a run with Kyutai's weights leaves a clone."""
    write_run_of_mimi(tmp_path)
    return tmp_path


def test_every_number_is_that_of_the_run(run_of_mimi: Path) -> None:
    """With its interval, its rate and what it is true of."""
    row = row_of_run(run_of_mimi, MIMI_SHA256, COMMIT)
    metrics = json.loads((ROOT / MEASURED).read_text())
    for gains, found in ((row.test, metrics), (row.test_voice, metrics["test_voice"])):
        assert gains is not None
        assert gains.frames == found["frames"]
        spliced = gains.spliced_dynamic_gain
        assert spliced.nats_per_dim == found["spliced"]["dynamic_gain_nats_per_dim"]
        assert spliced.bits_per_s is None
        for name in ("gain", "dynamic_gain", "speech_borne_gain"):
            gain = getattr(gains, name)
            assert gain.nats_per_dim == found[f"{name}_nats_per_dim"]
            assert gain.nats_per_dim_ci_low == found[f"{name}_nats_per_dim_ci_low"]
            assert gain.nats_per_dim_ci_high == found[f"{name}_nats_per_dim_ci_high"]
            assert gain.bits_per_s == found[f"{name}_bits_per_s"]
    assert (row.codec.frame_rate, row.codec.bits_per_s) == (12.5, metrics["bits_per_s"])
    assert row.corpus.clips_sha256 == metrics["origin"]["clips_sha256"]
    assert row.settings["trainings"] == 3
    assert (row.project.version, row.project.commit) == (__version__, COMMIT)


def test_published_weights_have_a_revision_and_others_have_none(run_of_mimi: Path) -> None:
    """The row says which of the two it is, and so does its text."""
    row = row_of_run(run_of_mimi, MIMI_SHA256, COMMIT)
    assert row.codec.weights_published
    assert row.codec.revision == f"kyutai/moshiko-pytorch-bf16@{MIMI_REVISION}"
    assert as_text(row).startswith("mimi: the published weights, kyutai/")

    origin = json.loads((run_of_mimi / MEASURED).read_text())["origin"]
    change(run_of_mimi / MEASURED, origin=origin | {"weights_sha256": OTHER})
    other = row_of_run(run_of_mimi, OTHER, COMMIT)
    assert (other.codec.weights_published, other.codec.revision) == (False, None)
    assert as_text(other).startswith(f"mimi: weights {OTHER}, which are not the published ones\n")
    assert path_of(other) != path_of(row)


def test_metrics_of_another_run_are_refused(run_of_mimi: Path) -> None:
    """Of other weights, or of other settings; the line says which."""
    with pytest.raises(InputError, match=r"codec_rows/codec\.json: of another run: other weights"):
        row_of_run(run_of_mimi, OTHER, COMMIT)
    shutil.copy(ROOT / MEASURED, run_of_mimi / MEASURED)
    with pytest.raises(InputError, match=r"codec\.name = mimi-mini \(now mimi\)"):
        row_of_run(run_of_mimi, MIMI_SHA256, COMMIT)


def test_what_was_not_measured_is_left_out(run_of_mimi: Path) -> None:
    """No voice held out, no codes, and a codec that hears ahead."""
    names = ("speech_borne_gain_nats_per_dim", "bits_per_s", "test_voice")
    change(run_of_mimi / MEASURED, **dict.fromkeys(names))
    row = row_of_run(run_of_mimi, MIMI_SHA256, COMMIT)
    path = save(row, run_of_mimi)
    assert not {"test_voice", "null", "speech_borne_gain"} & set(path.read_text().split('"'))
    assert read(path) == row
    assert as_text(row).splitlines()[-1].split() == ["carried", "by", "speech", "–"]


def test_the_file_is_the_same_each_time_and_reads_back(run_of_mimi: Path) -> None:
    """Named by codec, weights and clips, with no time and no path in it."""
    row = row_of_run(run_of_mimi, MIMI_SHA256, COMMIT)
    path = save(row, run_of_mimi)
    text = path.read_text()
    assert path.name == f"mimi-{MIMI_SHA256[:8]}-{row.corpus.clips_sha256[:8]}.json"
    assert read(path) == row
    assert str(run_of_mimi) not in text
    save(row_of_run(run_of_mimi, MIMI_SHA256, COMMIT), run_of_mimi)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("schema_version", 2, "schema_version"),
        ("codec.weights_sha256", "e351c8d8", "weights_sha256"),
        ("codec.weights_published", False, "true just where there is a revision"),
        ("latents.variance_kept", 1.5, "variance_kept"),
        ("test.gain.nats_per_dim", float("nan"), "nats_per_dim"),
        ("test.gain.nats", 1.0, "unknown setting"),
        ("codec.name", "lyra", "must be named lyra-09b782f0-"),
    ],
)
def test_a_file_that_is_no_row(run_of_mimi: Path, place: str, value: object, problem: str) -> None:
    """Ends in one line with its path and what is wrong."""
    path = save(row_of_run(run_of_mimi, MIMI_SHA256, COMMIT), run_of_mimi)
    content = json.loads(path.read_text())
    *parents, last = place.split(".")
    inner = content
    for key in parents:
        inner = inner[key]
    inner[last] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=problem) as caught:
        read(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_row_in_the_repository_is_one() -> None:
    """Those that were sent in, too."""
    assert all(isinstance(read(path), Row | LatentsRow) for path in (ROOT / FOLDER).glob("*.json"))
