"""Photograph what a newcomer sees: README's first screen, the report page and the closing screen.

    python tools/screenshots.py            (`make screenshots`)

Writes the pictures of `SHOTS` to docs/img/. Needs Chromium or Chrome, the page report/index.html
that the stage `bets` writes, and the site that `make site` builds in build/site/. Badges are left
out, since they come from the network. The closing screen is that of `make compare`.
"""

import argparse
import html
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs/img"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SITE, PAGE = ROOT / "build/site/index.html", ROOT / "report/index.html"
FROM_ELSEWHERE = re.compile(r'<img[^>]*src="https?://[^>]*>')
MARGIN = 200  # pixels of the window that a headless browser may keep for itself
SMALLEST = 600  # pixels; no browser makes its window narrower than about 500
SECONDS = 60
PROSE = "font: 14px/1.35 ui-monospace, Menlo, Consolas, monospace; margin: 16px"


class Shot(NamedTuple):
    """A picture.

    Attributes:
        address: gives the address of what is shown, and may write to the folder it is given.
        width: of the part of the page that is shown, in pixels.
        height: the same.
    """

    address: Callable[[Path], str]
    width: int
    height: int


class ScreenshotError(Exception):
    """A picture cannot be taken; the message says why in one line."""


def _checked(path: Path, command: str) -> Path:
    if not path.is_file():
        raise ScreenshotError(f"{path.relative_to(ROOT)}: missing; `{command}` makes it")
    return path


def readme(_: Path) -> str:
    """Give the address of the README on the site, without badges."""
    page = _checked(SITE, "make site")
    copy = page.with_name("screenshot.html")  # beside what it loads
    copy.write_text(FROM_ELSEWHERE.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")
    return copy.as_uri()


def report_page(_: Path) -> str:
    """Give the address of the report page."""
    return _checked(PAGE, "dvc repro bets").as_uri()


def closing_screen(folder: Path) -> str:
    """Write the closing screen as a page, and give its address."""
    command = [sys.executable, "tools/compare.py"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not result.stdout:
        raise ScreenshotError(f"tools/compare.py: {result.stderr.strip()}")
    page = folder / "closing.html"
    told = html.escape(f"$ make compare\n{result.stdout}".replace(f"{ROOT}/", ""))
    text = f'<!DOCTYPE html><meta charset="utf-8"><pre style="{PROSE}">{told}</pre>'
    page.write_text(text, encoding="utf-8")
    return page.as_uri()


SHOTS: Mapping[str, Shot] = {
    "readme": Shot(readme, 1280, 900),
    "page_1280": Shot(report_page, 1280, 900),
    "page_360": Shot(report_page, 360, 760),
    "closing": Shot(closing_screen, 940, 740),
}


def take(browser: str, shot: Shot, target: Path, folder: Path) -> None:
    """Take one picture.

    Args:
        browser: path of the browser.
        shot: what to show.
        target: the file to write.
        folder: for files on the way.

    Raises:
        ScreenshotError: there is nothing to show, or the browser took no picture of it.
    """
    size = f'width="{shot.width}" height="{shot.height}"'
    frame = folder / "frame.html"
    frame.write_text(
        '<!DOCTYPE html><body style="margin: 0; background: white">'
        f'<iframe src="{shot.address(folder)}" {size} style="border: 0"></iframe>',
        encoding="utf-8",
    )
    taken = folder / "taken.png"
    taken.unlink(missing_ok=True)
    window = f"{max(shot.width, SMALLEST)},{shot.height + MARGIN}"
    command = [
        *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={folder / 'profile'}", f"--window-size={window}"),
        *(f"--screenshot={taken}", "--virtual-time-budget=5000", frame.as_uri()),
    ]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ScreenshotError(f"{browser}: not done after {SECONDS} s") from error
    if not taken.is_file():
        raise ScreenshotError(f"{browser}: took no picture: {result.stderr.strip()[-200:]}")
    with Image.open(taken) as image:
        part = image.convert("RGB").crop((0, 0, shot.width, shot.height))
        part.quantize(128).save(target, optimize=True)


def main() -> None:
    """Run the command."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    try:
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            raise ScreenshotError(f"no browser: one of {', '.join(BROWSERS)} must be installed")
        TARGET.mkdir(parents=True, exist_ok=True)
        for name, shot in SHOTS.items():
            with tempfile.TemporaryDirectory() as folder:
                take(browser, shot, TARGET / f"{name}.png", Path(folder))
            print(TARGET.relative_to(ROOT) / f"{name}.png")
    except ScreenshotError as error:
        sys.exit(f"screenshots: error: {error}")


if __name__ == "__main__":
    main()
