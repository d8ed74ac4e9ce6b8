"""Records of studies: frozen stages whose committed results say under which settings they ran."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.params import Params, Section

DETAIL = Path("metrics/detail")
SCHEMA_VERSION = 1


def study_settings(params: Params, sections: Iterable[str]) -> dict[str, Any]:
    """Settings as a metrics file can hold them: nested dicts of finite numbers and strings.

    Args:
        params: all settings.
        sections: names of those at the top level that the study depends on.

    Returns:
        The settings by section; a list becomes a string with commas, a truth value 0 or 1.
    """
    return {name: _recordable(getattr(params, name)) for name in sections}


def _recordable(value: object) -> object:
    if isinstance(value, Section):
        return _recordable(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): _recordable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return int(value) if isinstance(value, bool) else value


def write_study(name: str, metrics: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write `metrics/detail/<name>.json`.

    Args:
        name: of the study's stage.
        metrics: nested dict of finite numbers.
        settings: of `study_settings`, under which they were measured.

    Raises:
        ValueError: naming the first key whose value is not a finite number or a string.
    """
    record = {**metrics, "schema_version": SCHEMA_VERSION, "settings": settings}
    write_metrics(DETAIL / f"{name}.json", record)


def changed_settings(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Say which settings have another value now than when a study ran.

    A setting that only one of the two has is left out: it became a constant since, or was one.

    Args:
        recorded: of the study's file.
        current: `study_settings` of today.

    Returns:
        For instance `calm.epochs = 13 (now 10)`, sorted by name.
    """
    before, now = dict(_flat(recorded)), dict(_flat(current))
    return [
        f"{name} = {before[name]} (now {now[name]})"
        for name in sorted(before.keys() & now.keys())
        if before[name] != now[name]
    ]


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
