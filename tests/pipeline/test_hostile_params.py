"""Every setting, with every kind of value that does not belong there."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import check_params
from tests.harness import ROOT

SETTINGS = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
NEVER = ({"a": 1}, None, math.nan, math.inf, -math.inf, ["a", 1, None], b"\xff")
SOMETIMES = (0, -1, 10**30, 0.5, 1e-300, "", "x" * 10_000, "a\nb", "1e-05", True, [], [0], [[1]])
Path = tuple[str | int, ...]


def leaves(settings: Any, path: Path = ()) -> Iterator[Path]:  # noqa: ANN401
    """Where every value stands that holds no others by name."""
    items = settings.items() if isinstance(settings, dict) else enumerate(settings)
    for key, value in items:
        nested = isinstance(value, dict) or (isinstance(value, list) and value)
        yield from leaves(value, (*path, key)) if nested else [(*path, key)]
        if isinstance(value, list):
            yield (*path, key)


LEAVES = list(leaves(SETTINGS))
LONGEST_MESSAGE = 600


def leaves_of(section: str) -> list[Path]:
    """Those of one section, or the setting itself."""
    return [path for path in LEAVES if path[0] == section]


def changed(path: Path, value: Any) -> dict[str, Any]:  # noqa: ANN401
    """The repository's settings with one of them changed."""
    settings = copy.deepcopy(SETTINGS)
    section = settings
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    return settings


def refusal(path: Path, value: Any) -> str:  # noqa: ANN401
    """What is said of a value; '' where it is taken."""
    try:
        check_params(changed(path, value))
    except InputError as error:
        return str(error)
    return ""


def test_the_settings_as_they_are_have_no_problem() -> None:
    assert len(LEAVES) > 150
    assert not refusal(("seed",), SETTINGS["seed"])


@pytest.mark.parametrize("section", SETTINGS)
def test_what_never_fits_is_refused_in_one_line_that_names_it(section: str) -> None:
    for path in leaves_of(section):
        for value in NEVER:
            message = refusal(path, value)
            assert ".".join(map(str, path)) in message, (path, value)
            assert "\n" not in message
            assert len(message) < LONGEST_MESSAGE


@pytest.mark.parametrize("section", SETTINGS)
def test_what_may_fit_is_taken_or_refused_in_one_line(section: str) -> None:
    for path in leaves_of(section):
        for value in SOMETIMES:
            message = refusal(path, value)
            assert "\n" not in message
            assert len(message) < LONGEST_MESSAGE
            assert not message or section in message, (path, value)


@pytest.mark.parametrize("value", ["x" * 10_000, [0], True])
def test_numbers_are_numbers(value: object) -> None:
    for path in LEAVES:
        number = SETTINGS
        for key in path:
            number = number[key]
        if isinstance(number, int | float) and not isinstance(number, bool):
            assert refusal(path, value), path


def test_unknown_settings_are_refused_wherever_they_stand() -> None:
    for path in LEAVES:
        if isinstance(path[-1], str):
            message = refusal((*path[:-1], "unheard_of"), 1)
            assert "unheard_of: unknown setting" in message


def test_every_setting_is_needed() -> None:
    for path in LEAVES:
        settings = copy.deepcopy(SETTINGS)
        section = settings
        for key in path[:-1]:
            section = section[key]
        if isinstance(section, dict):
            del section[path[-1]]
            with pytest.raises(InputError, match="missing"):
                check_params(settings)
