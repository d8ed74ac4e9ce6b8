"""Every setting and every rule, with every kind of value that does not belong there."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.settings import Section, check_settings
from mimi_dynamics.report.rules import BetsParams
from tests.harness import ROOT

MODELS: dict[str, type[Section]] = {"params.yaml": Params, "bets.yaml": BetsParams}
SETTINGS = {
    file: YAML(typ="safe", pure=True).load((ROOT / file).read_text(encoding="utf-8"))
    for file in MODELS
}
SECTIONS = [(file, section) for file in MODELS for section in SETTINGS[file]]
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


LEAVES = {file: list(leaves(SETTINGS[file])) for file in MODELS}
LONGEST_MESSAGE = 600


def leaves_of(file: str, section: str) -> list[Path]:
    """Those of one section, or the setting itself."""
    return [path for path in LEAVES[file] if path[0] == section]


def changed(file: str, path: Path, value: Any) -> dict[str, Any]:  # noqa: ANN401
    """The settings of a file with one of them changed."""
    settings = copy.deepcopy(SETTINGS[file])
    section = settings
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    return settings


def refusal(file: str, path: Path, value: Any) -> str:  # noqa: ANN401
    """What is said of a value; '' where it is taken."""
    try:
        check_settings(changed(file, path, value), MODELS[file])
    except InputError as error:
        return str(error)
    return ""


def test_the_settings_as_they_are_have_no_problem() -> None:
    assert len(LEAVES["params.yaml"]) > 120
    assert len(LEAVES["bets.yaml"]) > 60
    assert not refusal("params.yaml", ("seed",), SETTINGS["params.yaml"]["seed"])
    assert not refusal("bets.yaml", ("bet1", "prior"), SETTINGS["bets.yaml"]["bet1"]["prior"])


@pytest.mark.parametrize(("file", "section"), SECTIONS)
def test_what_never_fits_is_refused_in_one_line_that_names_it(file: str, section: str) -> None:
    for path in leaves_of(file, section):
        for value in NEVER:
            message = refusal(file, path, value)
            assert ".".join(map(str, path)) in message, (path, value)
            assert "\n" not in message
            assert len(message) < LONGEST_MESSAGE


@pytest.mark.parametrize(("file", "section"), SECTIONS)
def test_what_may_fit_is_taken_or_refused_in_one_line(file: str, section: str) -> None:
    for path in leaves_of(file, section):
        for value in SOMETIMES:
            message = refusal(file, path, value)
            assert "\n" not in message
            assert len(message) < LONGEST_MESSAGE
            assert not message or section in message, (path, value)


@pytest.mark.parametrize("file", MODELS)
@pytest.mark.parametrize("value", ["x" * 10_000, [0], True])
def test_numbers_are_numbers(file: str, value: object) -> None:
    for path in LEAVES[file]:
        number = SETTINGS[file]
        for key in path:
            number = number[key]
        if isinstance(number, int | float) and not isinstance(number, bool):
            assert refusal(file, path, value), path


@pytest.mark.parametrize("file", MODELS)
def test_unknown_settings_are_refused_wherever_they_stand(file: str) -> None:
    for path in LEAVES[file]:
        if isinstance(path[-1], str):
            message = refusal(file, (*path[:-1], "unheard_of"), 1)
            assert "unheard_of: unknown setting" in message


@pytest.mark.parametrize("file", MODELS)
def test_every_setting_is_needed(file: str) -> None:
    for path in LEAVES[file]:
        settings = copy.deepcopy(SETTINGS[file])
        section = settings
        for key in path[:-1]:
            section = section[key]
        if isinstance(section, dict):
            del section[path[-1]]
            with pytest.raises(InputError, match="missing"):
                check_settings(settings, MODELS[file])
