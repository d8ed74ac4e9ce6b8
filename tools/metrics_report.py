"""What a pull request changes in bets, settings and metrics, as Markdown on standard output.

    python tools/metrics_report.py origin/main

Compares the working tree with its merge base with the given revision. Needs no data and runs no
stage. Exits with 1, and says so first, if dvc.lock is stale or a metrics file missing or broken.

First come the verdicts that flip, then every change of the headline, metrics/<stage>.json, then
what of metrics/detail/<stage>.json left its interval, what it cost, and settings. A number has
moved if it changed by more than the tolerance and, where it has 95 % intervals, lies outside that
of before or has that of before outside its own. It is said whether that is for the better where its
name tells; all else that changed is folded away.
"""

import argparse
import json
import math
import operator
import re
import subprocess
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # no PYTHONPATH to remember

from metrics_cost import cost_table
from metrics_tables import bets_table, headline_table, metrics_table, params_table
from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.report.differences import (
    DETAIL,
    TOLERANCE,
    Changes,
    Files,
    Row,
    changes,
    flattened,
    rows_of,
    settings_changes,
)
from mimi_dynamics.report.versions import committed, parsed, working_tree

FRESH = "Data and pipelines are up to date."
DVC = [sys.executable, "-m", "dvc"]
BETS = f"{DETAIL}bets.json"
METRICS, RULES, LOCK = "metrics", "bets.yaml", "dvc.lock"


def main() -> int:
    """Print the report; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="revision to compare with, for instance origin/main")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="relative (%(default)s)")
    arguments = parser.parse_args()
    base = run("git", "merge-base", arguments.base, "HEAD")
    if base.returncode:
        sys.exit(f"metrics_report: {base.stderr.strip()}")
    commit, tolerance = base.stdout.strip(), arguments.tolerance
    unusable_files = metrics_problems()
    problems = lock_problems() + [text for texts in unusable_files.values() for text in texts]
    rules, rule_problems = rules_difference(commit)
    problems += rule_problems
    if problems:
        print("### This pull request is not ready\n")
        print("\n".join(f"- {problem}" for problem in problems), end="\n\n")
    old = files_of(commit)
    new = {path: result for path, result in files_here().items() if path not in unusable_files}
    metrics = changes(old, new)
    bets = metrics.pop(BETS, {})
    readable = {path: names for path, names in metrics.items() if path not in unusable_files}
    detail = {path: names for path, names in readable.items() if path.startswith(DETAIL)}
    headline = {path: names for path, names in readable.items() if path not in detail}
    left_out = "Without the files named above.\n\n" if unusable_files else ""
    for title, text in (
        ("Verdicts", bets_table(bets)),
        ("Headline", left_out + headline_table(with_intervals(headline, detail), tolerance)),
        ("Outside their intervals", left_out + metrics_table(rows_of(detail), tolerance)),
        ("Cost", cost_table(stages_of(commit), stages_of(None), rows_of(detail))),
        ("Settings", params_table(difference(commit) | rules)),
    ):
        print(f"### {title} against {commit[:7]}\n\n{text}\n")
    return 1 if problems else 0


def with_intervals(headline: Changes, detail: Changes) -> list[Row]:
    """Give the rows of the headline, with intervals from the detail files where it has none."""
    filled = {}
    for path, names in headline.items():
        there = detail.get(path.replace(f"{METRICS}/", DETAIL), {})
        ends = [f"{name}_ci_{end}" for name in names for end in ("low", "high")]
        filled[path] = {end: there[end] for end in ends if end in there} | names
    return rows_of(filled)


def stages_of(commit: str | None) -> dict[str, Any]:
    """Give the stages of `dvc.lock` of a commit, or of the working tree, by name."""
    if commit is None:
        text = Path(LOCK).read_text(encoding="utf-8") if Path(LOCK).exists() else ""
    else:
        text = committed(commit, [LOCK]).texts.get(LOCK, "")
    try:
        return (yaml.safe_load(text) or {}).get("stages", {})
    except yaml.YAMLError:
        return {}  # `lock_problems` says so


def lock_problems() -> list[str]:
    """Whether the committed results are those of the committed code and settings."""
    dry = run(*DVC, "repro", "--dry", "--allow-missing")
    if FRESH in dry.stdout:
        return []
    stages = re.findall(r"^Running stage '(.+)'", dry.stdout, re.MULTILINE)
    first = f"the first stage out of date is `{stages[0]}`" if stages else _last_line(dry.stderr)
    return [f"`dvc.lock` is stale: run `dvc repro` and commit what changes ({first})"]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["DVC does not say why"])[-1]


def metrics_problems() -> dict[str, list[str]]:
    """What is wrong with each metrics file of dvc.yaml that is missing or not to be compared."""
    stages = load_stages()
    settings = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    files = [name for stage in stages.values() for name in metrics_of(stage, settings)]
    problems = {}
    for name in files:
        try:
            content = json.loads(Path(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            problems[name] = [f"`{name}` is missing"]
        except ValueError as error:
            problems[name] = [f"`{name}` is broken: {error}"]
        else:
            problems[name] = [
                f"`{name}`: {key} is not a finite number" for key in unusable(content)
            ]
    return {name: result for name, result in problems.items() if result}


def metrics_of(stage: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Paths of the metrics files that a stage writes; of a group, those of all its items."""
    names = [
        name
        for entry in stage.get("metrics", []) + stage.get("outs", [])
        for name in ([entry] if isinstance(entry, str) else entry)
        if name.startswith("metrics/")
    ]
    lists = {f"item.{key}": values for key, values in stage.get("matrix", {}).items()}
    if "foreach" in stage:
        lists["item"] = stage["foreach"]
    for item, values in lists.items():
        if isinstance(values, str):  # such as ${codec_table.rows}
            keys = values.removeprefix("${").removesuffix("}").split(".")
            values = reduce(operator.getitem, keys, settings)
        names = [name.replace(f"${{{item}}}", str(of)) for name in names for of in values]
    return list(dict.fromkeys(names))


def unusable(value: object, key: str = "") -> list[str]:
    """Keys whose values are neither finite numbers, strings nor nested dicts of them."""
    if isinstance(value, dict):
        return [bad for k, v in value.items() for bad in unusable(v, f"{key}.{k}".lstrip("."))]
    if isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value)):
        return []
    return [key or "the file"]


def difference(base: str) -> Changes:
    """What DVC finds of settings that changed."""
    result = run(*DVC, "params", "diff", base, "--json")
    if result.returncode:
        sys.exit(f"metrics_report: `dvc params diff` failed: {result.stderr.strip()}")
    return json.loads(result.stdout or "{}")


def files_here() -> Files:
    """Metrics files of the working tree; what cannot be read is told by `metrics_problems`."""
    return with_detail(parsed(working_tree([METRICS]).texts)[0])


def files_of(commit: str) -> Files:
    """Metrics files of a commit."""
    return with_detail(parsed(committed(commit, [METRICS]).texts)[0])


def with_detail(files: Files) -> Files:
    """Before there was metrics/detail/, metrics/ held all that a stage found."""
    if any(path.startswith(DETAIL) for path in files):
        return files
    detail = {DETAIL + path.removeprefix("metrics/"): of for path, of in files.items()}
    return {**files, **detail}


def rules_difference(base: str) -> tuple[Changes, list[str]]:
    """What of the rules of the bets was added, removed or changed, which DVC does not compare.

    Returns:
        Old and new by file and key, as `difference` has them, and what is wrong with the file.
    """
    before = committed(base, [RULES]).texts.get(RULES, "")
    try:
        now = Path(RULES).read_text(encoding="utf-8") if Path(RULES).exists() else ""
        old, new = (flattened(yaml.safe_load(text)) for text in (before, now))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return {}, [f"`{RULES}` is broken: {' '.join(str(error).split())}"]
    changed = settings_changes(old, new)
    return ({RULES: changed} if changed else {}), []


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command and catch what it prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
