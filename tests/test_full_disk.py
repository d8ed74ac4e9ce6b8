"""Disks that take no more, for every writer: see `full_disk`."""

import shutil
import subprocess
import sys

import pytest

from mimi_dynamics.pipeline.limits import CORES_SETTING
from tests.harness import ROOT
from tests.harness.small_pipeline import environment

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def may_mount() -> bool:
    """Whether this system lets its users mount in a namespace of their own."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    command = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs leave to mount a small file system")
def test_every_writer_survives_a_full_and_a_read_only_disk() -> None:
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "tests.harness.full_disk"],
        cwd=ROOT,
        # Workers start in the folder in which this process did, and not on the small disk.
        env=environment() | {"PYTHONPATH": "src", CORES_SETTING: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the disk was full 6 times") == 8
