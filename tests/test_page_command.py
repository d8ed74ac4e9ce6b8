"""The command of benchmarks that make a page: what it prints, keeps and says of missing input."""

from datetime import date
from pathlib import Path

import pytest

from machine import page_command
from mimi_dynamics.pipeline.errors import InputError

PAGE = Path("docs/page.md")
TEXT = "# Title\n\nBody."


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("options", [[], ["--write"]])
def test_the_page_is_printed_and_kept_if_asked(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["some_cost.py", *options])
    assert page_command("What it does.", PAGE, lambda: TEXT) == bool(options)
    assert capsys.readouterr().out == f"{TEXT}\n"
    assert PAGE.exists() == bool(options)
    if options:
        title, dated, body = PAGE.read_text(encoding="utf-8").strip().split("\n\n")
        assert (title, body) == ("# Title", "Body.")
        assert dated.endswith(f"{date.today():%Y}.")


def test_missing_input_ends_in_one_line_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> str:
        raise InputError("data/latents: no latents")

    monkeypatch.setattr("sys.argv", ["some_cost.py", "--write"])
    with pytest.raises(SystemExit, match=r"^some_cost: error: data/latents: no latents$"):
        page_command("What it does.", PAGE, make)
    assert not PAGE.exists()
