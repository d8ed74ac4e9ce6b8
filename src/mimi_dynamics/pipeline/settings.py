"""Files of settings: what a section is, and how a file is read and checked against its model."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mimi_dynamics.pipeline.errors import InputError

LONGEST_SHOWN = 200  # Error messages show at most this many characters of a wrong value.
Name = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A block of settings. Unknown keys, strings for numbers and floats for counts are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


SomeSection = TypeVar("SomeSection", bound=Section)


def load_settings(path: Path, model: type[SomeSection], hint: str = "") -> SomeSection:
    """Read a file of settings and check the whole of it against its model.

    The file is read by the rules of YAML 1.2, because DVC writes 0.00001 as 1e-05, which YAML 1.1
    readers take for a string.

    Args:
        path: a YAML file.
        model: the section that describes the whole file.
        hint: what to say after a setting that is wrong.

    Raises:
        InputError: the file is not usable. The message names, in one line, the file, the key, its
            value and what is allowed.
    """
    try:
        settings = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: not found; run from the repository's top folder") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    try:
        return check_settings(settings, model)
    except InputError as error:
        raise InputError(f"{path}: {error}{hint}") from error


def check_settings(settings: object, model: type[SomeSection]) -> SomeSection:
    """Check settings, as read from a file, against the model of the whole file.

    Raises:
        InputError: a setting is wrong. The message names, in one line, its key, its value and what
            is allowed.
    """
    if not isinstance(settings, dict):
        raise InputError(f"must hold settings by name, not {type(settings).__name__}")
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise InputError(_first_problem(error)) from error


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"]) or "settings"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        problem = f"{key}: unknown setting"
    elif first["type"] == "missing":
        problem = f"{key}: missing"
    elif first["type"] == "value_error":
        problem = f"{key}: {message}"
    else:
        problem = f"{key} = {_shown(first['input'])}: {message[0].lower()}{message[1:]}"
    more = len(problems) - 1
    return problem + (f" (and {more} more)" if more else "")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
