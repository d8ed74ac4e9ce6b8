"""The parts of the report page, and how the page becomes HTML."""

from collections.abc import Mapping
from dataclasses import dataclass

import jinja2

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import Metrics
from mimi_dynamics.report.bets import ControlCheck, Judgement
from mimi_dynamics.report.prose import ENVIRONMENT
from mimi_dynamics.report.rules import ControlLimits


@dataclass(frozen=True)
class Figure:
    """A picture as a data URI, with its size in pixels.

    Attributes:
        uri: the picture.
        width: its width in pixels.
        height: its height in pixels.
    """

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Sound:
    """One sound of a clip as a data URI.

    Attributes:
        clip: name of the clip.
        kind: what the sound is, for example `recorded`.
        uri: the sound.
    """

    clip: str
    kind: str
    uri: str


@dataclass(frozen=True)
class Section:
    """A section about one result, whose words and tables are in `sections/<name>.html`.

    Attributes:
        name: the name by which links refer to the section.
        stage: the stage whose metrics it reports.
        chapter: name of the chapter that it is in.
        title: its heading.
        figure: the picture `plots/<name>.png`.
        sounds: all sounds in `data/<stage>/`.
        spectrograms: a picture of those sounds.
    """

    name: str
    stage: str
    chapter: str
    title: str
    figure: Figure | None = None
    sounds: tuple[Sound, ...] = ()
    spectrograms: Figure | None = None


@dataclass(frozen=True)
class Chapter:
    """A part of the page: all that belongs to a bet, or the rest.

    Attributes:
        name: the name by which links and sections refer to it.
        title: its heading.
        bet: number of the bet; 0 for the rest.
    """

    name: str
    title: str
    bet: int


@dataclass(frozen=True)
class Page:
    """The contents of the whole report.

    Attributes:
        judgements: judgements on the bets, in their order.
        check: result of the controls.
        limits: limits for the controls.
        metrics: metrics of the stages that have run, by stage.
        codec: name of the run's codec, of whose latents every verdict is.
        not_run: names of the stages without metrics, which the page lists.
        opening: the figure of the first screen, if what it shows was measured.
        chapters: chapters, in the order of the page.
        sections: sections on what was measured, in the order of the page.
    """

    judgements: list[Judgement]
    check: ControlCheck
    limits: ControlLimits
    metrics: Mapping[str, Metrics]
    codec: str
    not_run: tuple[str, ...] = ()
    opening: Figure | None = None
    chapters: tuple[Chapter, ...] = ()
    sections: tuple[Section, ...] = ()

    @property
    def missed(self) -> list[str]:
        """Names of the processes with a known answer that the estimator missed."""
        return [*self.check.short, *self.check.false]


def render(page: Page) -> str:
    """Write the page as HTML; the same page always gives the same text.

    Raises:
        InputError: if a number that the page reports is not in the metrics.
    """
    try:
        return ENVIRONMENT.get_template("page.html").render(page.metrics, page=page)
    except jinja2.UndefinedError as error:
        raise InputError(f"metrics lack what the page tells: {error}") from error
