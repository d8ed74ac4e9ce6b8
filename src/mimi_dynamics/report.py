"""The page a person looks at: one file with its figures and sounds inside, no scripts, no network.

What it says is put together in `report_bets` and `report_sections`; here are its parts, and how
they become HTML. Every text is escaped by the template.
"""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from mimi_dynamics.errors import InputError
from mimi_dynamics.measured import Measured, Metrics, measured

TEMPLATE = Path(__file__).with_name("report.html")
MP3_COMPRESSION = 0.8  # of 0 to 1: about 35 kbit/s for speech at 24 kHz
SOUND_NAME = re.compile(r"(?P<clip>.+)\.(?P<kind>recorded|sample-\d+)\.wav")


@dataclass(frozen=True)
class Number:
    """A headline number: what it is, and where it comes from."""

    label: str
    value: str
    interval: str
    key: str


@dataclass(frozen=True)
class Table:
    """A table of texts, the first column of which names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture as a data URI, its size in pixels, and what it shows in words."""

    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Sound:
    """One sound of a clip as a data URI."""

    clip: str
    kind: str
    uri: str


@dataclass(frozen=True)
class Section:
    """What one stage found. Its sentence follows the numbers, whatever they are."""

    stage: str
    title: str
    sentence: str
    numbers: list[Number]
    tables: list[Table]
    sounds: tuple[Sound, ...] = ()
    figures: tuple[Figure, ...] = ()
    name: str = ""  # of the section, where a stage has two

    @property
    def anchor(self) -> str:
        """What links to it name."""
        return self.name or self.stage


@dataclass(frozen=True)
class Scored:
    """A bet on the scoreboard; probabilities in per cent."""

    number: int
    claim: str
    verdict: str
    prior: float
    posterior: float
    findings: list[tuple[str, str]]  # stage and text
    note: str


@dataclass(frozen=True)
class Page:
    """All of the report."""

    summary: str
    warnings: list[str]
    bets: list[Scored]
    weakest: str
    advice: str
    sections: list[Section]


def render(page: Page) -> str:
    """The page as HTML: the same page, the same text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE.name).render(page=page)


def read_figure(path: Path, alt: str, quality: int | None = None) -> Figure:
    """A picture file, made small.

    Args:
        path: of a PNG.
        alt: what it shows, for those who do not see it.
        quality: of 0 to 100, for lossy compression; without it every pixel stays as it is.

    Raises:
        InputError: it is not there, or not a picture.
    """
    small = io.BytesIO()
    settings = {"lossless": True} if quality is None else {"quality": quality}
    try:
        with Image.open(path) as image:
            image.convert("RGB").save(small, "WEBP", **settings)
            width, height = image.size
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a picture") from error
    return Figure(data_uri(small.getvalue(), "image/webp"), width, height, alt)


def read_sounds(folder: Path) -> tuple[Sound, ...]:
    """Every `<clip>.recorded.wav` and `<clip>.sample-<n>.wav` as MP3, by clip, recordings first.

    Raises:
        InputError: one of them cannot be read as audio.
    """
    found = [(SOUND_NAME.fullmatch(path.name), path) for path in sorted(folder.glob("*.wav"))]
    return tuple(
        Sound(name["clip"], name["kind"].replace("-", " "), data_uri(as_mp3(path), "audio/mpeg"))
        for name, path in found
        if name
    )


def as_mp3(path: Path) -> bytes:
    """A sound file, made small."""
    small = io.BytesIO()
    try:
        audio, rate = soundfile.read(path, dtype=np.float32)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: cannot be read as audio") from error
    soundfile.write(small, audio, rate, format="MP3", compression_level=MP3_COMPRESSION)
    return small.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def decimal(value: float, digits: int = 3) -> str:
    """A number with a minus sign, never minus nothing."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def percent(value: float, digits: int = 0) -> str:
    """A share of 1 in per cent."""
    return f"{decimal(100 * value, digits)} %"


def shown(found: Measured, unit: str = "nats") -> tuple[str, str]:
    """A number and its interval, the latter empty if there is none.

    Args:
        found: the number.
        unit: `share` is shown in per cent, `ms` in whole ms, anything else with 3 decimals.
    """
    if unit == "share":
        value, ends = (
            percent(found.value, 1),
            [decimal(100 * e, 1) for e in (found.low, found.high)],
        )
    elif unit == "ms":
        value, ends = f"{found.value:.0f} ms", [f"{end:.0f}" for end in (found.low, found.high)]
    else:
        value, ends = decimal(found.value), [decimal(end) for end in (found.low, found.high)]
    return value, f"[{ends[0]}, {ends[1]}]" if found.has_interval else ""


def cell(found: Measured, unit: str = "nats") -> str:
    """A number and its interval in one text."""
    return " ".join(shown(found, unit)).strip()


def number(metrics: Metrics, key: str, label: str, unit: str = "nats") -> Number:
    """A headline number of a metrics file."""
    return Number(label, *shown(measured(metrics, key), unit), key)


def listed(names: list[str]) -> str:
    """Names in a row: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
