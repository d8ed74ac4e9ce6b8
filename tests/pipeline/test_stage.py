"""How a stage ends when the world does not play along."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_metrics, write_text
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from tests.harness import ROOT


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the repository's settings, and a stage started without arguments."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["measure.py"])
    return tmp_path


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_no_more_is_named_in_one_line(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The old metrics stay, and no temporary."""
    write_metrics(Path("metrics/measure.json"), {"gain": 1.0})
    before = Path("metrics/measure.json").read_bytes()

    def refuse(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(code, os.strerror(code), str(path))

    def measure(_: Params) -> None:
        write_metrics(Path("metrics/measure.json"), {"gain": 2.0})

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(SystemExit, match=r"^measure: error: .*measure.*: ") as caught:
        run_stage(measure)
    assert os.strerror(code) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert Path("metrics/measure.json").read_bytes() == before
    assert [path.name for path in Path("metrics").iterdir()] == ["measure.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_that_is_full(workplace: Path) -> None:
    def measure(_: Params) -> None:
        with Path("/dev/full").open("w") as file:
            file.write("x")

    with pytest.raises(SystemExit, match=r"^measure: error: .*No space left on device"):
        run_stage(measure)


def test_a_mistake_in_the_code_is_not_hidden(workplace: Path) -> None:
    def measure(_: Params) -> None:
        write_text(Path("metrics") / "a", str(1 / 0))

    with pytest.raises(ZeroDivisionError):
        run_stage(measure)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("data/latents: not there"), "measure: error: data/latents: not there"),
        (
            KeyboardInterrupt(),
            "measure: interrupted; `dvc repro` starts this stage again, "
            "`git restore --staged --worktree . && dvc checkout --allow-missing` goes back to "
            "what is committed",
        ),
    ],
)
def test_other_ends_in_one_line(workplace: Path, error: BaseException, said: str) -> None:
    def measure(_: Params) -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_stage(measure)
    assert str(caught.value) == said


def test_ctrl_c_is_told_whatever_a_library_makes_of_it(workplace: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def measure(_: Params) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None

    try:
        with pytest.raises(SystemExit, match=r"^measure: interrupted; "):
            run_stage(measure)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_stage_that_is_at_work_is_not_started_again(workplace: Path) -> None:
    """And may be once that is over."""
    ran = []

    def measure(_: Params) -> None:
        ran.append("outer")
        with pytest.raises(SystemExit, match=r"^measure: error: runs/measure\.lock: another run"):
            run_stage(inner)

    def inner(_: Params) -> None:
        ran.append("inner")

    inner.__name__ = "measure"
    run_stage(measure)
    assert ran == ["outer"]
    run_stage(inner)
    assert ran == ["outer", "inner"]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks_do(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    """Lustre without `-o flock`, some FUSE and NFS mounts; it is said once."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    ran = []

    def measure(_: Params) -> None:
        ran.append(True)

    monkeypatch.setattr("fcntl.flock", refuse)
    run_stage(measure)
    assert ran == [True]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("runs/measure.lock: this file system has no locks (")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory; MIMI_DYNAMICS_CORES=1"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough"),
            "out of memory; MIMI_DYNAMICS_CORES=1",
        ),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; `ulimit -n`"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily"), "Resource temporarily; `ulimit -u"),
    ],
)
def test_limits_of_the_machine_in_one_line(workplace: Path, error: Exception, said: str) -> None:
    def measure(_: Params) -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_stage(measure)
    assert str(caught.value).startswith(f"measure: error: {said}")


PIPELINE = """
stages:
  measure:
    cmd: python src/measure.py
    outs: [models/a, {plots/a.csv: {cache: false}}]
    metrics: [{metrics/measure.json: {cache: false}}]
  other:
    cmd: python src/other.py
    metrics: [{metrics/other.json: {cache: false}}]
"""


@pytest.fixture
def failing(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Params], None]:
    """A stage that fails in a repository whose committed outputs DVC has just removed."""
    Path("dvc.yaml").write_text(PIPELINE)
    committed = ["plots/a.csv", "metrics/measure.json", "metrics/other.json"]
    for name in committed:
        write_text(Path(name), "committed")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "results"]):
        subprocess.run(["git", *command], check=True)
    for name in committed:
        Path(name).unlink()
    monkeypatch.setenv("DVC_STAGE", "measure@3")

    def measure(_: Params) -> None:
        write_text(Path("plots/a.csv"), "new")
        raise InputError("no")

    return measure


@pytest.mark.parametrize("by_dvc", [True, False])
def test_what_is_committed_is_put_back_where_a_stage_of_dvc_fails(
    failing: Callable[[Params], None], monkeypatch: pytest.MonkeyPatch, by_dvc: bool
) -> None:
    """Of this stage only, and nothing that the stage wrote before it failed."""
    if not by_dvc:
        monkeypatch.delenv("DVC_STAGE")
    with pytest.raises(SystemExit, match=r"^measure: error: no$"):
        run_stage(failing)
    assert Path("plots/a.csv").read_text() == "new"
    assert Path("metrics/measure.json").exists() == by_dvc
    assert not Path("metrics/other.json").exists()


@pytest.mark.parametrize("hindrance", ["other owner", "another git at work", "staged by DVC"])
def test_it_is_put_back_although_git_is_hindered(
    failing: Callable[[Params], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    hindrance: str,
) -> None:
    expected = "committed"
    if hindrance == "other owner":  # a bind mount in a container, or sudo
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        refused = subprocess.run(["git", "status"], capture_output=True, text=True, check=False)
        assert "dubious ownership" in refused.stderr
    elif hindrance == "another git at work":
        Path(".git/index.lock").touch()
    else:  # core.autostage: what was there before is in the index only
        expected = "of the last run"
        write_text(Path("metrics/measure.json"), expected)
        subprocess.run(["git", "add", "metrics/measure.json"], check=True)
        Path("metrics/measure.json").unlink()
    with pytest.raises(SystemExit, match=r"^measure: error: no$"):
        run_stage(failing)
    assert Path("metrics/measure.json").read_text() == expected
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("hindrance", "said"),
    [
        ("git is not there", "committed files that DVC removed may be missing: [Errno 2]"),
        ("no repository", "removed by DVC and not put back: metrics/measure.json: fatal: "),
        ("dvc.yaml is broken", "committed files that DVC removed may be missing: "),
    ],
)
def test_it_is_said_where_it_cannot_be_put_back(
    failing: Callable[[Params], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    hindrance: str,
    said: str,
) -> None:
    if hindrance == "git is not there":
        monkeypatch.setenv("PATH", "")
    elif hindrance == "no repository":
        shutil.rmtree(".git")
    else:
        Path("dvc.yaml").write_text("stages: {")
    with pytest.raises(SystemExit, match=r"^measure: error: no$"):
        run_stage(failing)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(said)


def test_a_picture_is_put_back_to_the_byte(
    failing: Callable[[Params], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = bytes(range(256))
    Path("metrics/measure.json").write_bytes(picture)
    subprocess.run(["git", "-c", "core.autocrlf=false", "add", "-A"], check=True)
    Path("metrics/measure.json").unlink()
    with pytest.raises(SystemExit):
        run_stage(failing)
    assert Path("metrics/measure.json").read_bytes() == picture


def test_a_project_within_a_larger_repository(
    failing: Callable[[Params], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are those of the folder in which the stage runs."""
    shutil.rmtree(".git")
    write_text(Path("metrics/measure.json"), "committed")
    subprocess.run(["git", "init", "-q", ".."], check=True)
    # Of this folder alone: beside it lie those of all other tests, which took minutes.
    subprocess.run(["git", "add", "."], check=True)
    Path("metrics/measure.json").unlink()
    with pytest.raises(SystemExit):
        run_stage(failing)
    assert Path("metrics/measure.json").read_text() == "committed"
