"""What the nightly run prints is what happened."""

import re
from pathlib import Path

import pytest

import nightly
from nightly import run


@pytest.mark.parametrize(("held", "passed"), [("True", 2), ("False", 1)])
def test_a_line_says_what_passed_under_which_changes(
    held: str,
    passed: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A failure is counted and told of, and the environment is the one asked for."""
    monkeypatch.setattr(nightly, "PROBE", "import os; print(os.environ['KIND'])")
    tests = tmp_path / "test_any.py"
    tests.write_text(
        "import os\n"
        "def test_one(): assert os.environ['KIND'] == 'old'\n"
        f"def test_two(): assert {held}\n"
    )
    good = run("any", tmp_path, (str(tests), "-p", "no:cacheprovider"), {"KIND": "old"})
    line = capsys.readouterr().out
    assert good == (passed == 2)
    assert re.match(rf"any +{passed} passed +{2 - passed} failed +\d+\.\d min  old", line)
    assert ("see" in line) != good
