"""What the page is made of, and how it becomes HTML."""

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
    """A picture as a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Sound:
    """One sound of a clip as a data URI."""

    clip: str
    kind: str
    uri: str


@dataclass(frozen=True)
class Section:
    """What one stage found: its words, numbers and tables are in `sections/<name>.html`.

    Attributes:
        name: by which links find it.
        stage: whose metrics it tells of.
        title: its heading.
        figure: `plots/<name>.png`.
        sounds: all of `data/<stage>/`.
        spectrograms: of those sounds.
    """

    name: str
    stage: str
    title: str
    figure: Figure | None = None
    sounds: tuple[Sound, ...] = ()
    spectrograms: Figure | None = None


@dataclass(frozen=True)
class Page:
    """All of the report.

    Attributes:
        judgements: of the bets, in their order.
        check: of the controls.
        limits: of the controls.
        metrics: by stage, of the stages that have run.
        sections: of what was measured, in the order of the page.
        not_run: stages that have no metrics, which the page names.
    """

    judgements: list[Judgement]
    check: ControlCheck
    limits: ControlLimits
    metrics: Mapping[str, Metrics]
    sections: tuple[Section, ...]
    not_run: tuple[str, ...] = ()

    @property
    def missed(self) -> list[str]:
        """Processes with a known answer that the estimator missed."""
        return [*self.check.short, *self.check.false]


def render(page: Page) -> str:
    """Write the page as HTML: the same page gives the same text.

    Raises:
        InputError: a number of which the page tells is not in the metrics.
    """
    try:
        return ENVIRONMENT.get_template("page.html").render(page.metrics, page=page)
    except jinja2.UndefinedError as error:
        raise InputError(f"metrics lack what the page tells: {error}") from error
