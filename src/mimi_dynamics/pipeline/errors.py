"""The one exception that is shown to the user as a single line."""

from pathlib import Path


class InputError(Exception):
    """Bad input: the message names the thing, its value and what is allowed, in one line."""


def require(path: Path, stage: str) -> Path:
    """Give back the path of a file that a stage writes.

    Raises:
        InputError: it is not there.
    """
    if not path.exists():
        raise InputError(f"{path}: not there; run the stage {stage}")
    return path
