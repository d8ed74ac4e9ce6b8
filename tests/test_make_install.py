"""What `make install` would run: hashes, the build of torch, and when to start anew."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone's Makefile and empty locks, written long ago."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text(encoding="utf-8"))
    for lock in LOCKS:
        (tmp_path / lock).touch()
        os.utime(tmp_path / lock, (1, 1))
    return tmp_path


def would_run(folder: Path, *arguments: str) -> str:
    """What `make` says it would do, whatever the `make` that runs the tests was given."""
    given = {"TORCH", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL"}
    environment = {name: value for name, value in os.environ.items() if name not in given}
    command = ["make", "--dry-run", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


def installed(folder: Path, *stamps: str) -> None:
    (folder / ".venv").mkdir()
    for stamp in stamps:
        (folder / ".venv" / stamp).touch()


def test_default_checks_hashes(folder: Path) -> None:
    said = would_run(folder, "install")
    assert "--require-hashes requirements.lock" in said
    assert "torch-backend" not in said


@pytest.mark.parametrize(("target", "lock"), [("install", LOCKS[0]), ("install-dev", LOCKS[1])])
def test_cpu_takes_the_versions_of_the_lock(folder: Path, target: str, lock: str) -> None:
    last = [
        line for line in would_run(folder, target, "TORCH=cpu").splitlines() if "uv pip" in line
    ][-1]
    assert f"--torch-backend cpu --no-verify-hashes --constraint {lock} --extra pipeline" in last
    assert ("--group dev" in last) == (target == "install-dev")


def test_choice_is_kept(folder: Path) -> None:
    installed(folder, "torch-cpu")
    assert "uv pip" not in would_run(folder, "install")
    said = would_run(folder, "install-dev")
    assert "--torch-backend cpu" in said
    assert "--require-hashes" not in said


def test_other_build_starts_anew_with_the_same_tools(folder: Path) -> None:
    installed(folder, "torch-cpu", "installed-dev")
    said = would_run(folder, "install", "TORCH=cuda")
    assert "venv --clear .venv" in said
    assert "--require-hashes requirements-dev.lock" in said


def test_newer_lock_keeps_the_environment(folder: Path) -> None:
    installed(folder, "torch-cuda")
    os.utime(folder / ".venv/torch-cuda", (0, 0))
    said = would_run(folder, "install")
    assert "uv pip sync" in said
    assert "--clear" not in said


def test_unknown_build_ends_in_one_line(folder: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        would_run(folder, "install", "TORCH=gpu")
    assert "TORCH=gpu is unknown; it may be cpu or cuda" in refused.value.stderr
