"""The page of settings: `params.yaml` with its comments, and types and ranges from its model."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mimi_dynamics.pipeline.metrics import detail_path, read_metrics
from mimi_dynamics.pipeline.params import PARAMS_FILE, Params, load_params
from mimi_dynamics.pipeline.settings import load_settings
from mimi_dynamics.report.studies import origin_sentence
from mimi_dynamics.studies.rssm.run import with_models

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r"(?P<indent> *)(?P<name>\w+):(?P<value>[^#]*)(?:# (?P<comment>.*))?$")
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false"}


def value_at(metrics: Mapping[str, Any], key: str) -> object:
    """Give the number at a dotted key, or None."""
    found: Any = metrics
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def comments(text: str) -> dict[str, str]:
    """Collect the comments of `params.yaml` by the dotted name of what they explain.

    They stand beside a setting, or above it where it is a list.
    """
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    above: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("# "):
            above.append(line.strip().removeprefix("# "))
            continue
        entry = ENTRY.fullmatch(line)
        if entry:
            depth = len(entry["indent"])
            path = [(d, name) for d, name in path if d < depth] + [(depth, entry["name"])]
            told = " ".join([*above, *([entry["comment"]] if entry["comment"] else [])])
            found[".".join(name for _, name in path)] = told
        above = []
    return found


def described(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Say in words which values a setting may have, from its JSON schema.

    Args:
        schema: of the setting.
        known: the schemas that it may refer to, by name.
    """
    if "$ref" in schema:
        return described(known[schema["$ref"].rpartition("/")[2]], known)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return f"one of {', '.join(f'`{value}`' for value in values)}"
    if "anyOf" in schema:
        return " or ".join(described(option, known) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list: {described(schema['items'], known)}"
    if schema.get("type") == "object":
        fields = schema["properties"].items()
        return ", ".join(f"`{name}` {described(field, known)}" for name, field in fields)
    limits = " and ".join(f"{sign} {schema[key]}" for key, sign in LIMITS.items() if key in schema)
    return f"{TYPES.get(schema.get('type', ''), 'text')} {limits}".strip()


def settings_of(
    schema: Mapping[str, Any], known: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dotted name and the schema of every setting below a section."""
    for name, field in schema["properties"].items():
        target = known.get(field.get("$ref", "").rpartition("/")[2], field)
        if target.get("type") == "object":
            yield from settings_of(target, known, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def params_tables() -> str:
    """List every setting with its default, its type and range, and its comment."""
    whole = Params.model_json_schema()
    known = whole.get("$defs", {})
    defaults = load_settings(ROOT / PARAMS_FILE, Params).model_dump()
    told = comments((ROOT / PARAMS_FILE).read_text(encoding="utf-8"))
    head = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    sections: dict[str, list[str]] = {}
    for name, schema in settings_of(whole, known):
        section = name.partition(".")[0] if "." in name else ""
        value = value_at(defaults, name)
        default = f"`{value}`" if value != "" else "none"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            default = f"{len(value)} of them"
        words = told.get(name) or of_group(told, name)
        cells = [f"`{name}`", default, described(schema, known), words]
        sections.setdefault(section, []).append(
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        )
    blocks = []
    for section, lines in sections.items():
        title = f"## {section}" if section else "## All stages"
        about = [told[section], ""] if told.get(section) else []
        blocks.append("\n".join([title, "", *about, *head, *lines]))
    return "\n\n".join(blocks)


def of_group(told: Mapping[str, str], name: str) -> str:
    """Give the comment of the group within a section that a setting stands in, if any."""
    group = name.rpartition(".")[0]
    return told.get(group, "") if "." in group else ""


def origin_of_study(study: str) -> str:
    """Say whether a study of the factorisation is of the weights, clips and settings of today."""
    params = load_params()
    today = with_models(params, getattr(params, study))
    return origin_sentence(read_metrics(detail_path(study)), today)
