"""What is written is whole, the same every time, and refused if it makes no sense."""

import math
from pathlib import Path

import numpy as np
import pytest

from mimi_dynamics.pipeline.files import atomic_path, write_metrics


def test_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    """And no temporary."""
    path = tmp_path / "data.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text(f"ne{1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_replaced_whole(tmp_path: Path) -> None:
    """Nothing of the old folder stays."""
    path = tmp_path / "parts"
    for name in ("a", "b"):
        with atomic_path(path) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [p.name for p in path.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [path]


def test_metrics_are_sorted_and_rounded(tmp_path: Path) -> None:
    """So that a diff shows changes and nothing else."""
    path = tmp_path / "metrics.json"
    write_metrics(path, {"b": np.float32(1 / 3), "a": {"n": np.int64(7), "tiny": 1.23456789e-9}})
    assert path.read_text() == (
        '{\n  "a": {\n    "n": 7.0,\n    "tiny": 1.23457e-09\n  },\n  "b": 0.333333\n}\n'
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, None, [1], True, np.zeros(3)])
def test_metrics_refuse_what_dvc_drops(tmp_path: Path, value: object) -> None:
    """Naming the key, and writing nothing."""
    path = tmp_path / "metrics.json"
    with pytest.raises(ValueError, match=r"metric a\.b"):
        write_metrics(path, {"a": {"b": value}})
    assert not path.exists()
