"""Numbers as texts, and words on the side of a threshold where an interval lies."""

import pytest
from markupsafe import Markup

from mimi_dynamics.report.formatting import (
    cell,
    compared,
    counted,
    decimal,
    listed,
    one_line,
    percent,
    shown,
)
from mimi_dynamics.report.metrics_file import Measured
from mimi_dynamics.report.prose import ENVIRONMENT


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.4286, 3, "0.429"),
        (-0.0284, 2, "−0.03"),
        (-1.5, 3, "−1.500"),
        (-0.0004, 3, "0.000"),
        (111.53, 0, "112"),
    ],
)
def test_numbers_are_rounded_and_signed(value: float, digits: int, text: str) -> None:
    assert decimal(value, digits) == text


def test_units() -> None:
    assert percent(0.8662) == "87 %"
    assert [counted(1, "voice"), counted(2, "voice")] == ["1 voice", "2 voices"]
    assert shown(Measured(0.25, 0.2, 0.3), "share") == ("25.0 %", "[20.0, 30.0]")
    assert cell(Measured(230.4, -0.2, 250.6), "ms") == "230 ms [0, 251]"
    assert cell(Measured(-0.5, -0.6, -0.4)) == "−0.500 [−0.600, −0.400]"


@pytest.mark.parametrize(
    ("row", "told"), [({}, "320 ms 0.3 s"), ({"frame_rate": 25.0}, "160 ms 0.2 s")]
)
def test_times_are_at_the_rate_of_the_latents(row: dict[str, float], told: str) -> None:
    page = ENVIRONMENT.from_string("{{ 4 | ms }} {{ 4 | seconds }}")
    assert page.render(codec_table={"codec": row}) == told


def test_a_number_without_an_interval_has_no_brackets() -> None:
    assert cell(Measured(0.25, 0.25, 0.25)) == "0.250"


@pytest.mark.parametrize(
    ("low", "high", "threshold", "word"),
    [
        (1, 2, 0, "above"),
        (-1, 1, 0, "undecided"),
        (-2, -1, 0, "below"),
        (0, 1, 0, "undecided"),
        (-1, 0, 0, "undecided"),
        (0.8, 0.95, 0.9, "undecided"),
        (0.8, 0.85, 0.9, "below"),
    ],
)
def test_words_need_the_whole_interval(
    low: float, high: float, threshold: float, word: str
) -> None:
    result = Measured((low + high) / 2, low, high)
    assert compared(result, "below", "undecided", "above", threshold) == word


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_names_in_a_row(names: list[str], text: str) -> None:
    assert listed(names) == text


def test_one_line_keeps_what_is_escaped() -> None:
    assert one_line(" a\n  b ") == "a b"
    assert isinstance(one_line(Markup("a &lt;\n b")), Markup)
