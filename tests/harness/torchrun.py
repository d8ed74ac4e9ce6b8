"""Run something in several processes, as a user would."""

import os
import subprocess
import sys
from pathlib import Path

from tests.harness import ROOT


def torchrun(*command: str, processes: int = 2, folder: Path = ROOT, ends_well: bool = True) -> str:
    """Run something in some processes on this machine, and give what it printed."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    result = subprocess.run(
        [*start, str(processes), *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (result.returncode == 0) == ends_well, result.stdout + result.stderr
    return result.stdout + result.stderr
