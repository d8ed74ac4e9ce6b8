"""What a pull request changes in bets, settings and metrics, as Markdown on standard output.

    python tools/metrics_report.py origin/main

Compares the working tree with its merge base with the given revision. Needs no data and runs no
stage. Exits with 1, and says so first, if dvc.lock is stale or a metrics file missing or broken.

Of the headline, metrics/<stage>.json, every change is listed; of metrics/detail/<stage>.json, what
moved. A number has moved if it changed by more than the tolerance and, where it has 95 % intervals,
lies outside that of before or has that of before outside its own. It is said whether that is for
the better where its name tells; what changed without having moved is folded away.
"""

import argparse
import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # no PYTHONPATH to remember

from mimi_dynamics.report.differences import (
    DETAIL,
    TOLERANCE,
    Changes,
    Ends,
    Files,
    Row,
    bets_in,
    changes,
    flattened,
    rows_of,
    verdict,
)
from mimi_dynamics.report.versions import committed, parsed, working_tree

FRESH = "Data and pipelines are up to date."
DVC = [sys.executable, "-m", "dvc"]
MOST_ROWS = 120  # of each of three tables: a comment on GitHub ends at 65,536 characters
BETS = f"{DETAIL}bets.json"
METRICS, RULES = "metrics", "bets.yaml"
MOVED = ("better", "worse", "changed")


def main() -> int:
    """Print the report; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="revision to compare with, for instance origin/main")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="relative (%(default)s)")
    arguments = parser.parse_args()
    base = run("git", "merge-base", arguments.base, "HEAD")
    if base.returncode:
        sys.exit(f"metrics_report: {base.stderr.strip()}")
    commit = base.stdout.strip()
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
        ("Bets", bets_table(bets)),
        ("Headline", left_out + headline_table(rows_of(headline), arguments.tolerance)),
        ("Parameters", params_table(difference(commit) | rules)),
        ("All metrics", left_out + metrics_table(rows_of(detail), arguments.tolerance)),
    ):
        print(f"### {title} against {commit[:7]}\n\n{text}\n")
    return 1 if problems else 0


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
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    files = [
        name
        for stage in stages.values()
        for entry in stage.get("metrics", []) + stage.get("outs", [])
        for name in ([entry] if isinstance(entry, str) else entry)
        if name.startswith("metrics/")
    ]
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
    changed = {
        key: {"old": old.get(key), "new": new.get(key)}
        for key in old | new
        if (key in old, old.get(key)) != (key in new, new.get(key))
    }
    return ({RULES: changed} if changed else {}), []


def headline_table(rows: list[Row], tolerance: float) -> str:
    """Every number of the headline that is not the same, with what that means."""
    read = [(row, row.reading(tolerance) or "within noise") for row in rows if row.old != row.new]
    return _tables(read) if read else "Nothing changed."


def metrics_table(rows: list[Row], tolerance: float) -> str:
    """What moved; folded away, what is new or gone, and what changed without having moved."""
    read = [(row, row.reading(tolerance)) for row in rows]
    unpaired = [(row, reading) for row, reading in read if reading in ("new", "gone")]
    moved = [(row, reading) for row, reading in read if reading in MOVED]
    still = [(row, reading) for row, reading in read if not reading and row.old != row.new]
    parts = [_tables(moved) if moved else "Nothing moved."]
    for lines, what in (
        (unpaired, "new or gone"),
        (still, f"changed by less than {tolerance:g} of their value, or within 95 % intervals"),
    ):
        if lines:
            summary = f"<summary>{len(lines)} {what}</summary>"
            parts.append(f"<details>{summary}\n\n{_tables(lines)}\n\n</details>")
    return "\n\n".join(parts)


def _tables(read: list[tuple[Row, str]]) -> str:
    """One table for each file: with its name in every line they would be too wide to read."""
    shown = itertools.groupby(read[:MOST_ROWS], key=lambda pair: pair[0].path)
    tables = [
        f"**{path}**\n\n| | before | now | change | |\n|---|--:|--:|--:|---|\n"
        + "\n".join(markdown(row, reading) for row, reading in pairs)
        for path, pairs in shown
    ]
    more = len(read) - MOST_ROWS
    if more > 0:
        tables.append(f"… and {more} more: `git diff` of metrics/detail/ shows them.")
    return "\n\n".join(tables)


def markdown(row: Row, reading: str) -> str:
    """A line of the table of its file."""
    change = "–"
    if not isinstance(row.old, str | None) and not isinstance(row.new, str | None):
        change = _minus(f"{row.new - row.old:+.2g}")
    cells = (row.key, _shown(row.old, row.old_ends))
    cells += (_shown(row.new, row.new_ends), change, reading)
    return f"| {' | '.join(cells)} |"


def params_table(changes: Changes) -> str:
    """Settings before and now."""
    rows = [
        f"| {path} | {name} | {_cell(change.get('old'))} | {_cell(change.get('new'))} |"
        for path, names in sorted(changes.items())
        for name, change in sorted(names.items())
    ]
    header = "| file | name | before | now |\n|---|---|---|---|\n"
    return header + "\n".join(rows) if rows else "Nothing changed."


def bets_table(keys: dict[str, dict]) -> str:
    """Every bet's verdict and posterior before and now; those that flip in bold."""
    before, now = ({key: of.get(when) for key, of in keys.items()} for when in ("old", "new"))
    rows = []
    for bet in bets_in(keys):
        old, new = (verdict(values, bet) for values in (before, now))
        mark = "" if old == new else "**flips**" if old and new else "new or gone"
        cells = (bet, _belief(before, bet), _belief(now, bet), mark)
        rows.append(f"| {' | '.join(cells)} |")
    header = "| bet | before | now | |\n|---|---|---|---|\n"
    return header + "\n".join(rows) if rows else "Not judged, neither before nor now."


def _belief(values: dict[str, Any], bet: str) -> str:
    said = verdict(values, bet)
    return f"{said} ({values[f'{bet}.posterior']:.0%})" if said else "–"


def _shown(value: object, ends: Ends | None = None) -> str:
    """A number to four digits, or to two of the width of its interval; lines end before that."""
    if value is None:
        return "–"
    if not isinstance(value, float) and not ends:
        return str(value)
    width = ends[1] - ends[0] if ends else 0.0
    decimals = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 0
    style = f".{decimals}f" if 1e-6 < width < 1e6 else ".4g"
    text = format(value, style)
    if ends:
        text += f" [{format(ends[0], style)},\xa0{format(ends[1], style)}]"
    return _minus(text)


def _cell(value: object) -> str:
    """A setting in a table, where a bar or the end of a line would end its cell."""
    return " ".join(_shown(value).split()).replace("|", "\\|")


def _minus(text: str) -> str:
    """With the true minus sign, behind which no line ends."""
    return text.replace("-", "−")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command and catch what it prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
