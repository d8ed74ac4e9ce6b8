"""How a stage ends when the world does not play along."""

import errno
import os
import shutil
import signal
import subprocess
import sys
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
            "`git checkout . && dvc checkout` goes back to what is committed",
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


@pytest.mark.parametrize("by_dvc", [True, False])
def test_what_is_committed_is_put_back_where_a_stage_of_dvc_fails(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, by_dvc: bool
) -> None:
    """Of this stage only, and nothing that the stage wrote before it failed."""
    Path("dvc.yaml").write_text(PIPELINE)
    committed = ["plots/a.csv", "metrics/measure.json", "metrics/other.json"]
    for name in committed:
        write_text(Path(name), "committed")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "results"]):
        subprocess.run(["git", *command], check=True)
    for name in committed:
        Path(name).unlink()
    if by_dvc:
        monkeypatch.setenv("DVC_STAGE", "measure@3")
    else:
        monkeypatch.delenv("DVC_STAGE", raising=False)

    def measure(_: Params) -> None:
        write_text(Path("plots/a.csv"), "new")
        raise InputError("no")

    with pytest.raises(SystemExit, match=r"^measure: error: no$"):
        run_stage(measure)
    assert Path("plots/a.csv").read_text() == "new"
    assert Path("metrics/measure.json").exists() == by_dvc
    assert not Path("metrics/other.json").exists()
