"""Jobs give the same bits on one core as on several, and leave nothing behind."""

import itertools
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import threadpoolctl
import torch
from torch import Tensor

from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.parallel import in_parallel, run_in_threads, run_parallel
from tests.harness import ROOT
from tests.harness.small_pipeline import heed_ctrl_c

ADVICE = (
    "`dvc repro` starts this stage again, "
    "`git restore --staged --worktree . && dvc checkout --allow-missing` goes back to "
    "what is committed"
)


def draw(seed: int) -> Tensor:
    """Something that seeds, draws and multiplies."""
    torch.manual_seed(seed)
    values = torch.randn(300, 300)
    return values @ values


def test_one_core_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    several = run_parallel([partial(draw, seed) for seed in (1, 2, 3)], "draw")
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    alone = run_parallel([partial(draw, seed) for seed in (1, 2, 3)], "draw")
    assert all((first == second).all() for first, second in zip(several, alone, strict=True))


def inverse(number: int) -> float:
    """Of which there is none of 0."""
    return 1 / number


@pytest.mark.parametrize("cores", [1, 2])
def test_results_come_in_order_until_nobody_wants_more_or_one_fails(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: cores)
    folder = tempfile.gettempdir()
    finished: list[int] = []
    jobs = [partial(inverse, number) for number in (1, 2, 4, 5, 0, 8)]
    results = in_parallel(jobs, "invert", lambda: finished.append(1))
    assert [next(results), next(results)] == [1, 0.5]
    assert tempfile.gettempdir() == folder
    assert len(finished) >= 2
    assert list(itertools.islice(results, 2)) == [0.25, 0.2]
    with pytest.raises(ZeroDivisionError):
        next(results)
    unwanted = in_parallel(jobs[:4], "invert")
    assert next(unwanted) == 1
    unwanted.close()
    assert not list(unwanted)


def test_threads_give_what_one_after_the_other_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 4)
    torch.manual_seed(0)
    matrices = torch.randn(20, 200, 200)
    threads = torch.get_num_threads()
    found = run_in_threads(lambda matrix: matrix @ matrix, matrices, "multiply")
    assert torch.get_num_threads() == threads
    with parallel.one_thread_each():
        assert all((of == each @ each).all() for of, each in zip(found, matrices, strict=True))
    with pytest.raises(ZeroDivisionError):
        run_in_threads(lambda number: 1 / number, [1, 0], "divide")


def test_jobs_in_this_process_do_not_move_its_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run_parallel([partial(draw, 5)], "draw")
    assert (torch.rand(3) == expected).all()
    assert torch.get_num_threads() == threads


STAGE = """
import sys, time
from functools import partial
from pathlib import Path
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.stage import run_stage
from tests.pipeline.test_parallel import nap

def measure(params):
    parallel.available_cores = lambda: 2
    parallel.run_parallel([partial(nap, number) for number in range(20)], "nap")

if __name__ == "__main__":
    run_stage(measure)
"""


RUN = """
import os, resource, sys
from functools import partial
from mimi_dynamics.pipeline import parallel
from tests.pipeline import test_parallel

parallel._most_workers = lambda: 2
if sys.argv[1] == "few-files":
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
jobs = [partial(getattr(test_parallel, sys.argv[2]), number) for number in range(4)]
print(len(parallel.run_parallel(jobs, "work")))
"""


def run_in_process(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess:
    """Run four jobs by two workers, in another process that a limit or a death does not hurt."""
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=folder,
        env=os.environ | paths | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def many_tensors(number: int) -> list[Tensor]:
    """More of them than there may be open files."""
    return [torch.full((10,), number) for _ in range(100)]


def test_results_need_no_open_files(tmp_path: Path) -> None:
    """By default torch keeps one open for each tensor that comes from another process."""
    result = run_in_process(tmp_path, "few-files", "many_tensors")
    assert result.stdout == "4\n", result.stderr


@pytest.fixture
def long_folder() -> Iterator[Path]:
    """A temporary folder whose path has 120 characters, as in batch systems."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    long = folder / ("x" * (119 - len(str(folder))))
    long.mkdir()
    yield long
    shutil.rmtree(folder)


def test_workers_start_where_the_temporary_folder_has_a_long_name(
    tmp_path: Path, long_folder: Path
) -> None:
    result = run_in_process(tmp_path, "as-usual", "many_tensors", TMPDIR=str(long_folder))
    assert result.stdout == "4\n", result.stderr
    assert list(long_folder.iterdir()) == []


@pytest.mark.parametrize("length", [40, 70, 71, 72, 80, 119])
def test_a_socket_can_be_made_in_the_folder_that_is_taken(
    long_folder: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """And it is the user's wherever that is possible."""
    folder = Path(str(long_folder)[:length].rstrip("/"))
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with parallel._short_temporary_folder(), socket.socket(socket.AF_UNIX) as listener:
        taken = tempfile.gettempdir()
        name = Path(tempfile.mkdtemp(prefix="pymp-"), "listener-12345678")
        listener.bind(str(name))
        shutil.rmtree(name.parent)
    assert (taken == str(folder)) == (length <= 71)
    assert tempfile.tempdir == str(folder)


def test_without_any_folder_for_a_socket(
    long_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(long_folder))
    monkeypatch.setattr(parallel, "SHORT_FOLDERS", ("/nowhere",))
    monkeypatch.setattr(parallel, "_most_workers", lambda: 2)
    with pytest.raises(InputError, match=r"^TMPDIR = .*: has 120 bytes, must have at most 71 "):
        run_parallel([partial(draw, 1), partial(draw, 2)], "draw")


def killed(number: int) -> None:
    """As the kernel does where memory runs out."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_most_workers", lambda: 4)
    with pytest.raises(InputError) as caught:
        run_parallel([partial(killed, number) for number in range(4)], "train")
    assert str(caught.value) == (
        "train: one of 4 workers was killed, as happens where memory runs out or "
        "a library crashes; "
        "MIMI_DYNAMICS_CORES=2 in front of the command starts fewer"
    )


@pytest.mark.parametrize(
    ("cores", "gibibytes", "workers"),
    [(8, math.inf, 8), (8, 64, 8), (8, 4, 3), (8, 2.5, 1), (8, 0.5, 1), (1, 64, 1)],
)
def test_workers_are_no_more_than_memory_allows(
    monkeypatch: pytest.MonkeyPatch, cores: int, gibibytes: float, workers: int
) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: cores)
    monkeypatch.setattr(parallel, "available_memory", lambda: gibibytes * 2**30)
    assert parallel._most_workers() == workers


def threads(_: int) -> set[int]:
    """Of every library of this process."""
    return {library["num_threads"] for library in threadpoolctl.threadpool_info()}


def test_workers_compute_on_one_thread_whatever_the_user_has_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(parallel, "_most_workers", lambda: 2)
    assert run_parallel([partial(threads, number) for number in range(2)], "count") == [{1}, {1}]


def nap(number: int) -> None:
    """Say that one has begun; far longer than the test takes."""
    Path(f"began{number}").touch()
    time.sleep(60)


@pytest.mark.parametrize("end", ["ctrl-c", "killed"])
def test_a_stage_that_ends_early_leaves_no_worker(tmp_path: Path, end: str) -> None:
    """Ctrl-C ends it with one line, at once; nor do workers go on after a stage that is killed."""
    (tmp_path / "measure.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    stage = subprocess.Popen(
        [sys.executable, "measure.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("began*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        if end == "ctrl-c":
            os.killpg(stage.pid, signal.SIGINT)
        else:
            stage.kill()
        said = stage.communicate(timeout=50)[1]  # standard error ends with the last worker
        assert len(list(tmp_path.glob("began*"))) == 2
        if end == "ctrl-c":
            lines = [line for line in said.splitlines() if "nap:" not in line and line]  # progress
            assert lines == [f"measure: interrupted; {ADVICE}"]
    finally:
        if stage.poll() is None:
            os.killpg(stage.pid, signal.SIGKILL)


class OddError(Exception):
    """One that is pickled, but cannot be unpickled."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name)


def fail_oddly(number: int) -> None:
    """With an exception that does not arrive."""
    if number == 1:
        raise OddError(name="what happened")


def test_an_exception_that_cannot_travel_is_not_taken_for_a_killed_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel, "_most_workers", lambda: 2)
    with pytest.raises(RuntimeError, match=r"(?s)in a worker process:.*OddError: what happened"):
        run_parallel([partial(fail_oddly, number) for number in range(2)], "work")
