"""Reference pages from the code: settings, headline metrics, commands and the library.

`write_readme.py` puts these texts where a template of docs/reference/ names them.
"""

import ast
import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mimi_dynamics.cli import main as mimi_dynamics
from mimi_dynamics.pipeline.metrics import HEADLINES, headline_keys
from mimi_dynamics.pipeline.params import PARAMS_FILE, Params
from mimi_dynamics.pipeline.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "src/mimi_dynamics"
ENTRY = re.compile(r"(?P<indent> *)(?P<name>\w+):(?P<value>[^#]*)(?:# (?P<comment>.*))?$")
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false"}

# What the end of a headline key means, the longest end that fits; {} is what stands before it.
MEANINGS = {
    "clips": "clips that are used",
    "hours": "hours of speech in them",
    "voices": "speakers in them",
    "rejected.total": "recordings that are not used",
    "log_mel_quantized": "log-mel distance after the codec, on all test clips",
    "codec.log_mel": "log-mel distance after the codec, on the clips of `reconstruct`",
    "codec.word_error_rate": "share of English words that a recogniser gets wrong after the codec",
    "worst_recovered": "least share of a true gain that is found on controls of development",
    "worst_held_out_recovered": "least share of a true gain that is found on held-out controls",
    "worst_null_nats_per_dim": "largest gain that is found where there is none",
    "horizon_frames": "lead, of this stage alone",
    "gain_nats_per_dim": "what the past tells of the frame ahead",
    "dynamic_gain_nats_per_dim": "what the past tells beyond what shuffled frames tell",
    "speech_borne_gain_nats_per_dim": "gain on a target that shares no audio with the past",
    "delta.dnll_nats_per_dim": "minus the gain on the change Δx; misleads when read alone",
    "nominal_bits_per_s": "codebooks × log2 of their size × frames a second",
    "frequencies_bits_per_s": "what the codes need by their frequencies alone",
    "given_past_bits_per_s": "what they need given all codes before them",
    "saved_share": "share of the nominal rate that a small causal model saves",
    "saved_share_over_frequencies": "share that it saves of the rate by frequencies alone",
    "saved_share_from_past_beyond_shuffled": "share that the order of past frames saves",
    "skill.rollout": "1 − energy score of free-running samples over that of climatology",
    "gap": "energy score of free-running samples − that of a direct forecast; > 0 = worse",
    "ease_above_frontier": "ease of the state above the best cheap rival of the same fidelity",
    "dynamic_ease": "ease of the state beyond that of its encoder on shuffled frames",
    "dynamic_ease_over_raw": "the dynamic ease of the state less that of x itself",
    "fidelity_r2": "share of the variance of x that can be read from the state",
    "sufficiency": "share of what the past tells that the newest state keeps",
    "innovation_bits_per_s": "what the innovation carries",
    "collapsed": "1 = the state is empty or the innovation is not used",
    "help_nats_per_frame": "what the memory saves against as many parameters without one",
    "help_over_shuffled_keys_nats_per_frame": "what the memory saves against keys shuffled in time",
    "ratio.energy_score": "energy score of ours over that of CALM; < 1 = ours is better",
    "ratio.train_flops_to_equal_energy_score": "training operations to the same score, ours / CALM",
    "posterior": "probability of the bet after its verdict, by the latest rules",
    "supported": "1 = supported, 0 = contradicted, 0.5 = undecided",
    "measured": "0 = what the latest rules ask for has not been run",
}
UNITS = {
    "_nats_per_dim": "nats per dimension",
    "_nats_per_frame": "nats per frame",
    "_bits_per_s": "bits a second",
    "_frames": "frames of 80 ms",
    "hours": "hours",
    "log_mel": "nepers",
    "log_mel_quantized": "nepers",
    "gap": "as whitened latents",
}


def longest_end(key: str, of: Mapping[str, str]) -> str | None:
    """Look up the longest end of a key that is in a table, or None."""
    ends = [end for end in of if key.endswith(end)]
    return of[max(ends, key=len)] if ends else None


def meaning(key: str) -> str:
    """Say what a headline number means.

    Raises:
        KeyError: there are no words for it in `MEANINGS`.
    """
    told = longest_end(f".{key}", {f".{end}": words for end, words in MEANINGS.items()})
    if told is None:
        raise KeyError(f"{key}: has no words in MEANINGS of tools/reference.py")
    return told


def value_at(metrics: Mapping[str, Any], key: str) -> object:
    """Give the number at a dotted key, or None."""
    found: Any = metrics
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def headline_table(metrics: Mapping[str, Any]) -> str:
    """List all headline numbers: what they are, with 95 % intervals, their unit and their meaning.

    Args:
        metrics: those of each stage by its name, as in `metrics/detail/`.
    """
    lines = ["| file | key | now | unit | meaning |", "|---|---|---|---|---|"]
    for stage in HEADLINES:
        keys = list(headline_keys(stage))
        for key in keys:
            if key.endswith(("_ci_low", "_ci_high")):
                continue
            ends = (
                [key] if f"{key}_ci_low" not in keys else [key, f"{key}_ci_low", f"{key}_ci_high"]
            )
            now, *interval = [shown(value_at(metrics.get(stage, {}), end)) for end in ends]
            now += f" [{', '.join(interval)}]" if interval else ""
            unit = longest_end(key, UNITS) or ""
            lines.append(f"| `{stage}` | `{key}` | {now} | {unit} | {meaning(key)} |")
    return "\n".join(lines)


def shown(value: object) -> str:
    """Write a number with three digits; a whole one with all, and a dash for what is not there."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}".replace("-", "−") if isinstance(value, float) else "–"


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


def help_of(command: Callable[[list[str]], None], arguments: list[str]) -> str:
    """Give what a command prints when it is asked for help, in lines of 100 characters."""
    printed = io.StringIO()
    width = patch.dict(os.environ, {"COLUMNS": "100"})
    with width, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command([*arguments, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def command_help() -> str:
    """Give the help of `mimi-dynamics` and of each of its commands."""
    text = help_of(mimi_dynamics, [])
    block = "## {}\n\n```text\n{}\n```"
    blocks = [block.format("mimi-dynamics", text)]
    names = re.search(r"\{([\w,-]+)\}", text)
    for name in names[1].split(",") if names else ():
        blocks.append(block.format(f"mimi-dynamics {name}", help_of(mimi_dynamics, [name])))
    return "\n\n".join(blocks)


def first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    """Give the first line of a docstring, with what Markdown would take for a table taken out."""
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def library_rooms() -> str:
    """List the rooms of the library with their modules, by the first lines of their docstrings."""
    blocks = []
    for room in sorted(path.parent for path in LIBRARY.rglob("__init__.py")):
        if room == LIBRARY or not (modules := sorted(room.glob("[!_]*.py"))):
            continue
        name = "/".join(room.relative_to(LIBRARY).parts)
        about = first_line(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
        lines = [f"## {name}", "", about, "", "| module | what is in it |", "|---|---|"]
        for path in modules:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            lines.append(f"| `{path.stem}` | {first_line(tree)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def public_interface() -> str:
    """Give signature and docstring of all that `mimi_dynamics` names in `__all__`.

    Where a name comes from is looked up in the package's own imports, so that nothing is loaded.
    """
    tree = ast.parse((LIBRARY / "__init__.py").read_text(encoding="utf-8"))
    names = exported(tree)
    blocks = []
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names:
                text = ast.get_docstring(node) or ""
                blocks.append(f"### {node.name}\n\n```text\n{signature(node)}\n\n{text}\n```")
    return "\n\n".join(blocks)


def exported(tree: ast.Module) -> set[str]:
    """Give the names in `__all__` of a module."""
    for node in tree.body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return set(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return set()


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """Write how a function is called, or name a class."""
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returns}"


TEXTS = {
    "params_tables": params_tables,
    "command_help": command_help,
    "library_rooms": library_rooms,
    "public_interface": public_interface,
}
