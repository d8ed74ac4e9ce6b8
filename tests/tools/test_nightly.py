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


def test_figures_that_tests_record_stand_below_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nightly, "PROBE", "")
    tests = tmp_path / "test_any.py"
    tests.write_text("def test_one(record_property): record_property('that miss', '2 of 40')\n")
    assert run("any", tmp_path, (str(tests), "-p", "no:cacheprovider"), {})
    assert capsys.readouterr().out.splitlines()[1].strip() == "that miss: 2 of 40  (test_one)"


def test_lines_that_ran_are_told_by_room() -> None:
    """The least first, and modules outside of every room together."""
    counts = {
        "src/mimi_dynamics/density/fit.py": (90, 100),
        "src/mimi_dynamics/density/heads/flow.py": (10, 100),
        "src/mimi_dynamics/speech/audio.py": (80, 100),
        "src/mimi_dynamics/cli.py": (50, 50),
        "src/predict.py": (0, 50),
    }
    files = {
        name: {"summary": {"covered_lines": ran, "num_statements": lines}}
        for name, (ran, lines) in counts.items()
    }
    assert list(nightly.covered({"files": files})) == [
        "lines that ran: 57.5% of 400",
        " 50.0% of   200  density",
        " 50.0% of   100  modules beside the rooms",
        " 80.0% of   100  speech",
    ]


@pytest.mark.parametrize("code", [0, 2])
def test_a_site_with_a_lost_link_fails(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Makefile").write_text(f"site:\n\texit {code}\n")
    monkeypatch.setattr(nightly, "ROOT", tmp_path)
    assert nightly.build_site(tmp_path) == (code == 0)
    assert ("failed" in capsys.readouterr().out) == (code != 0)
