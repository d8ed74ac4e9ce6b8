"""Records of studies, which are frozen stages. Their results include the settings they ran with.

A study by which a bet is judged also records its origin: of which weights of a codec, and of which
clips it is.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.metrics import SCHEMA_VERSION, detail_path
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.settings import Section


def study_settings(params: Params, sections: Iterable[str]) -> dict[str, Any]:
    """Convert settings to what a metrics file can hold: nested dicts of finite numbers and strings.

    Args:
        params: all settings.
        sections: names of the top-level settings that the study depends on.

    Returns:
        The settings by section. A list becomes a string with commas, and a truth value 0 or 1.
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
    """Write the results of a study to `metrics/detail/<name>.json`.

    Args:
        name: name of the study's stage.
        metrics: nested dict of finite numbers and strings.
        settings: the settings with which they were measured, from `study_settings`.

    Raises:
        ValueError: a value is not a finite number or a string. The message names its key.
    """
    record = {**metrics, "schema_version": SCHEMA_VERSION, "settings": settings}
    write_metrics(detail_path(name), record)


def differing(study: Mapping[str, Any], origin: Mapping[str, str], params: Params) -> list[str]:
    """List what a study was made with that is something else today.

    Args:
        study: the content of its file.
        origin: today's `weights_sha256` and `clips_sha256`.
        params: all settings of today.
    """
    told = {"weights_sha256": "other weights of the codec", "clips_sha256": "other clips"}
    recorded, settings = study.get("origin", {}), study.get("settings", {})
    others = [words for key, words in told.items() if recorded.get(key) != origin.get(key)]
    return others + changed_settings(settings, study_settings(params, settings))


def changed_settings(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """List the settings whose value now differs from the one with which a study ran.

    A setting that only one of the two has is left out: it has become a constant since then, or was
    one at that time.

    Args:
        recorded: the settings in the study's file.
        current: the settings of today, from `study_settings`.

    Returns:
        One text per changed setting, such as `calm.epochs = 13 (now 10)`, sorted by name.
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
