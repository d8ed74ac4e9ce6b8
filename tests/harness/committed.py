"""Files of the last commit, of which `make repro` on another processor makes others."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.harness import ROOT


def last_commit(root: Path, name: str, target: Path) -> Path | None:
    """Unpack a file or folder as the last commit has it.

    Args:
        root: folder of the repository.
        name: of the file or folder, relative to it.
        target: folder to unpack into.

    Returns:
        Its path there; None where there is no git, no repository, or no such name in its commit.
    """
    if not (root / ".git").exists() or not shutil.which("git"):
        return None
    command = ["git", "archive", "--format=tar", "HEAD", "--", name]
    found = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if found.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(target, filter="data")
    return target / name


def metrics_behind(text: str, target: Path, root: Path = ROOT) -> Path:
    """Give the folder of metrics that a text which is made of them should agree with.

    A text that is the last commit's belongs to the metrics of that commit, whatever was run since.
    One that is not was made from the metrics of the working tree.

    Args:
        text: name of the file, relative to the root.
        target: folder to unpack what was committed into.
        root: folder of the repository.
    """
    before = last_commit(root, text, target)
    if before is not None and before.read_bytes() == (root / text).read_bytes():
        committed = last_commit(root, "metrics/detail", target)
        if committed is not None:
            return committed
    return root / "metrics/detail"
