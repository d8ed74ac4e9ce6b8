"""Every result in the README is one of metrics/."""

import json
from pathlib import Path

import jinja2
import pytest

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import DETAIL_FOLDER
from write_readme import README, TEMPLATE, render


def test_the_readme_says_what_the_metrics_say() -> None:
    assert render(TEMPLATE.read_text(), DETAIL_FOLDER) == README.read_text(), "run `make readme`"


def test_intervals_are_told_reversed_and_in_per_cent(tmp_path: Path) -> None:
    (tmp_path / "engram.json").write_text('{"help_ci_low": -0.283, "help_ci_high": 0.003}')
    template = '{{ ci(engram, "help", 2) }} {{ ci(engram, "help", 1, -100) }}'
    assert render(template, tmp_path) == "[−0.28, 0.00] [−0.3, 28.3]"


def test_nothing_is_escaped(tmp_path: Path) -> None:
    """It is Markdown, although the page shares its filters."""
    (tmp_path / "predict.json").write_text('{"best_head": "<flow>"}')
    assert render("a & {{ predict.best_head }}", tmp_path) == "a & <flow>"


def test_a_number_follows_its_metric(tmp_path: Path) -> None:
    for gain, text in ((0.25, "gain 0.25\n"), (-0.5, "gain −0.50\n")):
        (tmp_path / "predict.json").write_text(json.dumps({"test": {"gain": gain}}))
        assert render("gain {{ predict.test.gain | n(2) }}\n", tmp_path) == text


def test_a_metric_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "predict.json").write_text("{}")
    with pytest.raises(jinja2.UndefinedError, match="gain_nats"):
        render("{{ predict.gain_nats | n(2) }}", tmp_path)
    with pytest.raises(InputError, match="gain_ci_low"):
        render('{{ ci(predict, "gain", 2) }}', tmp_path)


def test_words_that_no_recogniser_counted_are_not_told(tmp_path: Path) -> None:
    for path in DETAIL_FOLDER.glob("*.json"):
        metrics = json.loads(path.read_text())
        metrics.pop("english", None)
        (tmp_path / path.name).write_text(json.dumps(metrics))
    told = render(TEMPLATE.read_text(), tmp_path)
    assert "an English recogniser gets" in README.read_text()
    assert "an English recogniser gets" not in told
