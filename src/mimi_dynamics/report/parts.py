"""What the page is made of, and how it becomes HTML. Every text is escaped by the template."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATE = Path(__file__).with_name("page.html")


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
    not_run: Sequence[str]  # stages
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
