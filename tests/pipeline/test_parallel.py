"""Jobs give the same bits on one core as on several, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.parallel import run_parallel
from tests.harness import ROOT
from tests.harness.small_pipeline import heed_ctrl_c

ADVICE = (
    "`dvc repro` starts this stage again, "
    "`git checkout . && dvc checkout` goes back to what is committed"
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
