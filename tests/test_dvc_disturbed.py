"""Two `dvc repro` at once, and Ctrl-C: what DVC and a stage say, and what is left."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.small_pipeline import environment, heed_ctrl_c, make_clone, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]
FORCED = ("dvc", "repro", "--force", "--single-item")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first stages of the small pipeline, run and committed."""
    folder = tmp_path_factory.mktemp("clone")
    make_clone(folder)
    run(folder, "dvc", "repro", "encode")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "results")
    return folder


def start(clone: Path, stage: str) -> subprocess.Popen[str]:
    """A forced `dvc repro` of one stage, once that is at work."""
    lock = clone / "runs" / f"{stage}.lock"
    lock.unlink(missing_ok=True)
    process = subprocess.Popen(
        [*FORCED, stage],
        cwd=clone,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )
    while not lock.exists():
        assert process.poll() is None
        time.sleep(0.02)
    return process


def unharmed(clone: Path) -> bool:
    """Whether all is as committed, and DVC has nothing to do."""
    changed = run(clone, "git", "status", "--porcelain").stdout
    return not changed and "up to date" in run(clone, "dvc", "repro", "encode").stdout


def test_the_second_of_two_ends_with_one_line_that_says_why(clone: Path) -> None:
    first = start(clone, "encode")
    os.killpg(first.pid, signal.SIGSTOP)  # as slow as may be
    second = run(clone, *FORCED, "encode", check=False)
    os.killpg(first.pid, signal.SIGCONT)
    output = first.communicate()[0]
    assert first.returncode == 0, output
    said = second.stdout + second.stderr
    print(said)
    assert second.returncode != 0
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if "ERROR" in line]
    assert unharmed(clone)


def test_a_second_trainer_does_not_start_beside_the_child_of_a_killed_dvc(clone: Path) -> None:
    first = start(clone, "encode")
    os.killpg(first.pid, signal.SIGSTOP)
    first.kill()  # DVC alone, not its stage
    first.wait()
    second = run(clone, *FORCED, "encode", check=False)
    os.killpg(first.pid, signal.SIGCONT)
    first.communicate()  # ends with the stage
    said = second.stdout + second.stderr
    print(said)
    assert second.returncode != 0
    assert "encode: error: runs/encode.lock: another run of this stage is at work here" in said
    assert "Traceback" not in said
    run(clone, "dvc", "repro", "encode")
    assert unharmed(clone)


def test_ctrl_c_ends_in_one_line_of_advice_and_keeps_what_is_committed(clone: Path) -> None:
    before = (clone / "metrics/detail/encode.json").read_bytes()
    process = start(clone, "encode")
    assert not (
        clone / "metrics/detail/encode.json"
    ).exists()  # DVC removes what a stage will write
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate()[0]
    print(output)
    assert process.returncode != 0
    assert "encode: interrupted; `dvc repro` starts this stage again, `git restore" in output
    assert "Traceback" not in output
    assert (clone / "metrics/detail/encode.json").read_bytes() == before
    assert not run(clone, "git", "status", "--porcelain").stdout
    run(clone, "dvc", "checkout", "encode")  # the later stages never ran here
    assert unharmed(clone)
