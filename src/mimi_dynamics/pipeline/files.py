"""Write files so that no reader ever sees half of one, even after a run was killed."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimi_dynamics.pipeline.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT_DIGITS = 6


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it (file or folder) to `path` on success.

    On any exception, the temporary file or folder is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays at the end because writers such as soundfile choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    remove(temporary)
    try:
        yield temporary
        if path.is_dir():
            remove(path)
        temporary.replace(path)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all its contents. Do nothing if it does not exist."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of `atomic_path(path)` that killed runs left behind.

    No other run may be writing `path` at the same time.
    """
    for leftover in path.parent.glob(f".{path.stem}.*.tmp{path.suffix}"):
        remove(leftover)


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read a JSON file.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: not readable: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON: {' '.join(str(error).split())}") from error


def require(path: Path, stage: str) -> Path:
    """Give back the path of a file that a stage writes.

    Raises:
        InputError: it is not there.
    """
    if not path.exists():
        raise InputError(f"{path}: not there; run the stage {stage}")
    return path


def require_predictor(frames: int) -> Path:
    """Give the path of the predictor that the stage `horizon` trained for one distance.

    Args:
        frames: the distance, in frames.

    Raises:
        InputError: it is not there.
    """
    return require(Path(f"models/horizons/k{frames}.safetensors"), f"horizon@{frames}")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically. Line ends stay as they are, on every platform."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV with 6 significant digits, atomically."""
    csv = table.to_csv(index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g", lineterminator="\n")
    write_text(path, csv)


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics as JSON, atomically, with sorted keys and 6 significant digits.

    DVC silently drops lists and shows NaN as always changed, so both are refused here.

    Args:
        path: the file to write.
        metrics: nested dict of finite numbers and strings.

    Raises:
        ValueError: a value is not a finite number or a string. The message names its key.
    """
    write_text(path, json.dumps(_rounded(metrics, ""), indent=2, sort_keys=True) + "\n")


def _rounded(value: Any, name: str) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {str(k): _rounded(v, f"{name}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    one = hasattr(value, "__float__") and not getattr(value, "ndim", 0)
    if isinstance(value, bool) or not one:
        raise ValueError(f"metric {name} = {value!r}: must be a number, a string or a dict of them")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"metric {name} = {number}: must be finite")
    return float(f"{number:.{SIGNIFICANT_DIGITS}g}")
