"""`tools/compare.py` in small repositories of its own: what it prints and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT

TOOL = ROOT / "tools/compare.py"
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
BET = {"posterior": 0.9, "supported": 1, "measured": 1, "controls_failed": 0}
GAIN = {
    "gain_nats_per_dim": 0.4,
    "gain_nats_per_dim_ci_low": 0.39,
    "gain_nats_per_dim_ci_high": 0.41,
}


def write(folder: Path, stage: str, metrics: dict) -> None:
    path = folder / f"metrics/detail/{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema_version": 1, **metrics}))


def git(folder: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


def compare(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the tool; nothing that it does may change a file."""
    before = {path: path.read_bytes() for path in _files(folder)}
    result = subprocess.run(
        [sys.executable, TOOL],
        cwd=folder,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)} | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert {path: path.read_bytes() for path in _files(folder)} == before
    assert "Traceback" not in result.stderr
    return result


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder with results, whose name has a space."""
    folder = tmp_path / "my results"
    folder.mkdir()
    (folder / "params.yaml").write_text("horizon: 1\n")
    (folder / "bets.yaml").write_text("bet1: {claim: It is predictable}\n")
    write(folder, "predict", GAIN)
    write(folder, "bets", {"bet1": BET})
    return folder


@pytest.fixture
def repository(plain: Path) -> Path:
    """The same, committed."""
    git(plain, "init", "-q")
    git(plain, "add", ".")
    git(plain, "commit", "-qm", "Results")
    return plain


def test_the_same_metrics_are_said_to_be_the_same(repository: Path) -> None:
    (repository / "report").mkdir()
    (repository / "report/index.html").touch()
    result = compare(repository)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("All 5 numbers here are the same as in the commit ")
    assert "1 It is predictable" in result.stdout
    assert "index.html" in result.stdout


def test_a_verdict_that_flips_is_named_and_fails(repository: Path) -> None:
    """By one line, after the screen."""
    write(repository, "bets", {"bet1": BET | {"supported": 0, "posterior": 0.1}})
    result = compare(repository)
    assert result.returncode == 1
    told = "bet 1 was supported, is contradicted (rules of 2026-11-22)"
    assert result.stderr == f"compare: a verdict flips: {told}\n"
    assert result.stdout.splitlines()[0] == f"A verdict flips: {told}."
    assert "contradicted (10 %) flips: supported (90 %)" in " ".join(result.stdout.split())


def test_numbers_that_left_their_interval_do_not_fail(repository: Path) -> None:
    write(repository, "predict", {key: value + 0.1 for key, value in GAIN.items()})
    result = compare(repository)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Left their interval, of the headline: gain at horizon." in result.stdout


def test_a_bet_that_was_not_measured_does_not_fail(repository: Path) -> None:
    write(repository, "bets", {"bet1": BET | {"supported": 0.5, "measured": 0}})
    result = compare(repository)
    assert result.returncode == 0
    assert "not measured (90 %)" in result.stdout


def test_other_settings_are_said_first(repository: Path) -> None:
    (repository / "params.yaml").write_text("horizon: 8\n")
    write(repository, "predict", {key: value + 0.1 for key, value in GAIN.items()})
    lines = compare(repository).stdout.splitlines()
    assert lines[1].startswith("Settings differ from the commit: horizon = 8 (was 1); so numbers")


def test_without_a_repository_it_shows_what_is_here(plain: Path) -> None:
    """As from an archive; a folder in a repository of something else is no other."""
    result = compare(plain)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Results here alone; git says: not a git repository")
    assert "0.400 [0.390, 0.410]" in result.stdout
    (plain.parent / "README").touch()
    git(plain.parent, "init", "-q")
    git(plain.parent, "add", "README")
    git(plain.parent, "commit", "-qm", "Something else")
    result = compare(plain, GIT_CEILING_DIRECTORIES="")
    assert result.stdout.startswith("Results here alone; the commit ")
    assert result.returncode == 0


def test_before_the_first_commit(plain: Path) -> None:
    git(plain, "init", "-q")
    result = compare(plain)
    assert result.stdout.startswith("Results here alone; git says: ")
    assert result.returncode == 0


def test_without_git(repository: Path, tmp_path: Path) -> None:
    result = compare(repository, PATH=str(tmp_path))
    assert result.stdout.startswith("Results here alone; there is no git on this machine.")
    assert result.returncode == 0


def test_a_project_within_a_larger_repository(plain: Path) -> None:
    """Git's paths begin at the top of the repository, those of the project do not."""
    git(plain.parent, "init", "-q")
    git(plain.parent, "add", ".")
    git(plain.parent, "commit", "-qm", "Several projects")
    result = compare(plain, GIT_CEILING_DIRECTORIES="")
    assert result.stdout.startswith("All 5 numbers here are the same")


def test_letters_that_the_terminal_lacks_are_replaced(repository: Path) -> None:
    """And a reader that has gone is no error."""
    write(repository, "predict", {key: -value for key, value in GAIN.items()})
    assert "?0.400" in compare(repository, PYTHONIOENCODING="ascii").stdout
    command = f'"{sys.executable}" "{TOOL}" | true; exit "${{PIPESTATUS[0]}}"'
    piped = subprocess.run(
        ["bash", "-c", command], cwd=repository, capture_output=True, text=True, check=False
    )
    assert (piped.returncode, piped.stderr) == (0, "")


def test_help_says_when_it_fails() -> None:
    result = subprocess.run(
        [sys.executable, TOOL, "--help"], capture_output=True, text=True, check=True
    )
    assert "Exits with 1 only if a verdict flips" in result.stdout
