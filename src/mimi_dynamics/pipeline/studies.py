"""Records of studies, which are frozen stages. Their results include the settings they ran with.

A study by which a bet is judged also records its origin: of which weights of a codec, and of which
clips it is.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.metrics import SCHEMA_VERSION, detail_path
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.settings import Section

if TYPE_CHECKING:
    import pandas as pd

DIFFERENT = {"weights_sha256": "other weights", "clips_sha256": "other clips"}
MOST_TOLD = 3


def origin_of_run(weights_sha256: str, manifest: "pd.DataFrame") -> dict[str, str]:
    """Give what results are of: the hashes of the codec's weights and of the clips.

    Args:
        weights_sha256: hash of the weights.
        manifest: the manifest of the stage `ingest`.
    """
    return {"weights_sha256": weights_sha256, "clips_sha256": clips_sha256(manifest)}


def clips_sha256(manifest: "pd.DataFrame") -> str:
    """Hash which clips there are, with their audio, voices and splits, in any order."""
    columns = manifest[["clip_id", "sha256", "voice", "split"]].sort_values("clip_id")
    return hashlib.sha256(columns.to_csv(index=False).encode()).hexdigest()


def bet_settings(params: Params, sections: Iterable[str]) -> dict[str, Any]:
    """Give the settings on which a study by which a bet is judged depends.

    Args:
        params: all settings.
        sections: names of the top-level settings that the study itself depends on.
    """
    return study_settings(params, sections) | {"encode": {"dtype": params.encode.dtype}}


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


def write_study(
    name: str,
    metrics: Mapping[str, Any],
    settings: Mapping[str, Any],
    origin: Mapping[str, str] | None = None,
) -> None:
    """Write the results of a study to `metrics/detail/<name>.json`.

    Args:
        name: name of the study's stage.
        metrics: nested dict of finite numbers and strings.
        settings: the settings with which they were measured, from `study_settings`.
        origin: see `origin_of_run`; needed of a study by which a bet is judged.

    Raises:
        ValueError: a value is not a finite number or a string. The message names its key.
    """
    record = {**metrics, "schema_version": SCHEMA_VERSION, "settings": settings}
    write_metrics(detail_path(name), record | ({} if origin is None else {"origin": origin}))


def folder_of(above: Path, origin: Mapping[str, object]) -> Path:
    """Give the folder for what a study keeps of one origin, so that no others are taken for them.

    Args:
        above: the folder of the study.
        origin: what results depend on, settings and data, as JSON can hold it. They depend on
            the code too, with which `above` is to be removed.
    """
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode())
    return above / digest.hexdigest()[:12]


def differing(
    study: Mapping[str, Any], origin: Mapping[str, str | None], params: Params
) -> list[str]:
    """List what a study was made with that is something else today.

    Args:
        study: the content of its file.
        origin: that of this run; a hash that is missing is that of something else, and one that is
            None is not compared.
        params: all settings of today.
    """
    settings = study.get("settings", {})
    today = {key: origin.get(key, "") for key in DIFFERENT}
    return differences(
        {**study.get("origin", {}), "settings": settings},
        {**today, "settings": study_settings(params, settings)},
    )


def differences(recorded: Mapping[str, Any], today: Mapping[str, Any]) -> list[str]:
    """List what results were made with that is something else today.

    Args:
        recorded: the origin in their file, with `settings` beside the hashes.
        today: that of this run. Weights or clips that are not at hand, None, are not compared.
    """
    found = [
        words
        for key, words in DIFFERENT.items()
        if today[key] is not None and recorded.get(key) != today[key]
    ]
    return found + changed_settings(recorded.get("settings", {}), today["settings"])


def in_words(told: Sequence[str]) -> str:
    """Join what differs, but for the number of it after the first few."""
    more = [f"{len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
    return "; ".join([*told[:MOST_TOLD], *more])


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
