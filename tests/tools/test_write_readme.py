"""Every result in the README is one of metrics/."""

import json
from pathlib import Path

import jinja2
import pytest

from write_readme import METRICS, README, TEMPLATE, interval, number, percent, render


def test_the_readme_says_what_the_metrics_say() -> None:
    assert render(TEMPLATE.read_text(), METRICS) == README.read_text(), "run `make readme`"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.4286, 3, "0.429"), (-0.0284, 2, "−0.03"), (-0.0004, 3, "0.000"), (111.53, 0, "112")],
)
def test_numbers_are_rounded_and_signed(value: float, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_intervals_keep_their_order_when_told_reversed() -> None:
    metrics = {"help_ci_low": -0.283, "help_ci_high": 0.003}
    assert interval(metrics, "help", 2) == "[−0.28, 0.00]"
    assert interval(metrics, "help", 2, -1) == "[0.00, 0.28]"
    assert percent(0.8662) == "87 %"


def test_a_number_follows_its_metric(tmp_path: Path) -> None:
    for gain, text in ((0.25, "gain 0.25\n"), (-0.5, "gain −0.50\n")):
        (tmp_path / "predict.json").write_text(json.dumps({"test": {"gain": gain}}))
        assert render("gain {{ predict.test.gain | n(2) }}\n", tmp_path) == text


def test_a_metric_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "predict.json").write_text("{}")
    with pytest.raises(jinja2.UndefinedError, match="gain_nats"):
        render("{{ predict.gain_nats | n(2) }}", tmp_path)
