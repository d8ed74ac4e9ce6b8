"""Pictures of what a newcomer sees."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import screenshots
from tests.harness import ROOT

BROWSER = next(filter(None, map(shutil.which, screenshots.BROWSERS)), None)


@pytest.mark.parametrize("name", screenshots.SHOTS)
def test_a_picture_has_its_size_and_its_place_on_a_page(name: str) -> None:
    shot = screenshots.SHOTS[name]
    with Image.open(ROOT / f"docs/img/{name}.png") as image:
        assert image.size == (shot.width, shot.height)
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
    assert any(f"(../img/{name}.png)" in text for text in pages)


def test_no_other_pictures_are_kept() -> None:
    kept = {path.stem for path in (ROOT / "docs/img").iterdir()}
    assert kept == {*screenshots.SHOTS, "growth"}  # which benchmarks/growth_figure.py draws


def test_without_a_browser_it_says_so_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools/screenshots.py")]
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("screenshots: error: no browser")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_picture_is_of_the_width_that_is_asked(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<body style="margin: 0; background: #ff0000">', encoding="utf-8")
    shot = screenshots.Shot(lambda _: page.as_uri(), 360, 300)
    screenshots.take(str(BROWSER), shot, tmp_path / "shot.png", tmp_path)
    with Image.open(tmp_path / "shot.png") as image:
        assert image.size == (360, 300)
        assert image.convert("RGB").getcolors() == [(360 * 300, (255, 0, 0))]
