"""The environment of all templates with prose: README.md and the sections of the report page.

Each metrics file is a variable with the name of its stage. Templates of both kinds can write

    {{ predict.gain_nats_per_dim | n(2) }}                  is a number with two decimals,
    {{ structure.context.c01.share | percent }}             a share in per cent,
    {{ ci(predict, "gain_nats_per_dim", 2) }}               the interval of a number,
    {{ measured(predict, "gain_nats_per_dim") | cell }}     a number with its interval, and
    {{ measured(predict, "gain_nats_per_dim") | compared("less", "as much", "more") }}
                                                            words for the side of its interval.
"""

from pathlib import Path

import jinja2

from mimi_dynamics.pipeline.conventions import CODEC_ROWS, WAYS
from mimi_dynamics.pipeline.metrics import Metrics
from mimi_dynamics.report import formatting
from mimi_dynamics.report.bets import distances, informative_horizon, weakest_link
from mimi_dynamics.report.differences import verdict
from mimi_dynamics.report.evidence import asked_in_words
from mimi_dynamics.report.meanings import heard, meaning
from mimi_dynamics.report.metrics_file import measured


def by_lead(metrics: Metrics) -> list[tuple[int, Metrics]]:
    """List lead times in frames with their entries in `metrics`, the shortest first."""
    return [(k, metrics[f"k{k}"]) for k in distances(metrics)]


def said(ruling: Metrics) -> str:
    """Write the verdict of an entry of `metrics/detail/bets.json`, as the closing screen does."""
    return verdict({f"ruling.{key}": value for key, value in ruling.items()}, "ruling")


ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=jinja2.select_autoescape(default_for_string=False),  # for HTML, not for README.md
    undefined=jinja2.StrictUndefined,
    extensions=["jinja2.ext.do"],
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.filters |= {
    "n": formatting.decimal,
    "percent": formatting.percent,
    "g": formatting.general,
    "ms": formatting.milliseconds,
    "seconds": formatting.seconds,
    "counted": formatting.counted,
    "shown": formatting.shown,
    "cell": formatting.cell,
    "compared": formatting.compared,
    "listed": formatting.listed,
    "words": formatting.words,
    "meaning": meaning,
    "heard": heard,
    "one_line": formatting.one_line,
}
ENVIRONMENT.globals |= {
    "CODEC_ROWS": CODEC_ROWS,
    "WAYS": WAYS,
    "measured": measured,
    "ci": formatting.interval,
    "cells": formatting.cells,
    "by_lead": by_lead,
    "said": said,
    "asked_in_words": asked_in_words,
    "half_life": formatting.half_life,
    "informative_horizon": informative_horizon,
    "weakest_link": weakest_link,
}
