"""What the documents show of `measure` is what it does."""

import contextlib
import doctest
import io
import re
import shlex
from pathlib import Path

import pytest

from mimi_dynamics import cli
from mimi_dynamics.measurement import measurement
from tests.harness import ROOT

PAGE = ROOT / "docs/tutorials/your_latents.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = "mimi-dynamics"


def without_numbers(text: str) -> list[str]:
    """The words of a text; its numbers differ between processors, and lines break elsewhere."""
    return re.sub(r"[−\d.,]+", "#", text).split()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_block_of_the_tutorial_prints_what_stands_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed, shown = "", 0
    for language, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            if language == "python":
                exec(compile(content, str(PAGE), "exec"), names)
            elif content.startswith(COMMAND) and "latents/" not in content:
                for line in content.splitlines():
                    command, *arguments = shlex.split(line)
                    assert command == COMMAND
                    with pytest.raises(SystemExit) as ended:
                        cli.main(arguments)
                    assert ended.value.code == 0
        if language == "text":
            assert without_numbers(content) == without_numbers(printed)
            shown += 1
        printed = output.getvalue()
    assert shown == 3
    assert {path.suffix for path in Path("out").iterdir()} == {".json", ".png", ".html"}


@pytest.mark.slow
def test_the_example_in_the_docstring_runs() -> None:
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    (example,) = finder.find(measurement.measure, "measure")
    assert example.examples
    assert runner.run(example).failed == 0
