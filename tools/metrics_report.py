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
from dataclasses import dataclass
from pathlib import Path

import yaml

FRESH = "Data and pipelines are up to date."
DVC = [sys.executable, "-m", "dvc"]
TOLERANCE = 1e-3  # of the larger value: another processor moves the fourth digit, not the third
MOST_ROWS = 120  # of each of three tables: a comment on GitHub ends at 65,536 characters
DETAIL = "metrics/detail/"
BETS = f"{DETAIL}bets.json"
Files = dict[str, dict]  # metrics files by path
Changes = dict[str, dict[str, dict]]  # by path and key, `old` and `new`
RULES = "bets.yaml"
MOVED = ("better", "worse", "changed")

# Direction of better, by the words of a metric's name: the first line that knows one of them.
DIRECTIONS = (
    (0, "surrogates shuffled permuted random climatology true threshold prior linear var"),
    (-1, "dnll nll mse score gap mel error distance flops failed collapsed rejected dead"),
    (1, "gain recovered skill survival r2 ease sufficiency fidelity reduction help agreement"),
    (1, "posterior supported informative half pesq stoi"),
)


@dataclass(frozen=True)
class Row:
    """A metric before and now; `None` where it is not there."""

    path: str
    key: str
    old: float | str | None
    new: float | str | None
    old_ends: tuple[float, float] | None = None
    new_ends: tuple[float, float] | None = None

    def reading(self, tolerance: float) -> str:
        """What the change means; nothing if the number has not moved."""
        if self.old is None or self.new is None:
            return "new" if self.old is None else "gone"
        if isinstance(self.old, str) or isinstance(self.new, str):
            return "" if self.old == self.new else "changed"
        if abs(self.new - self.old) <= tolerance * max(abs(self.old), abs(self.new)):
            return ""
        if _inside(self.new, self.old_ends) and _inside(self.old, self.new_ends):
            return ""
        direction = better(self.key)
        if not direction:
            return "changed"
        return "better" if (self.new - self.old) * direction > 0 else "worse"

    def markdown(self, reading: str) -> str:
        """A line of the table of its file."""
        change = "–"
        if not isinstance(self.old, str | None) and not isinstance(self.new, str | None):
            change = _minus(f"{self.new - self.old:+.2g}")
        cells = (self.key, _shown(self.old, self.old_ends))
        cells += (_shown(self.new, self.new_ends), change, reading)
        return f"| {' | '.join(cells)} |"


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
    results = {}
    for path in sorted(Path("metrics").rglob("*.json")):
        try:
            results[path.as_posix()] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
    return with_detail(results)


def files_of(commit: str) -> Files:
    """Metrics files of a commit."""
    paths = run("git", "ls-tree", "-r", "--name-only", commit, "metrics/").stdout.splitlines()
    results = {path: json.loads(run("git", "show", f"{commit}:{path}").stdout) for path in paths}
    return with_detail(results)


def with_detail(files: Files) -> Files:
    """Before there was metrics/detail/, metrics/ held all that a stage found."""
    if any(path.startswith(DETAIL) for path in files):
        return files
    return files | {DETAIL + path.removeprefix("metrics/"): of for path, of in files.items()}


def changes(old: Files, new: Files) -> Changes:
    """Every number before and now; of the headline of before, only what is headline now."""
    results: Changes = {}
    for path in sorted(old.keys() | new.keys()):
        before, now = (flattened(files.get(path, {})) for files in (old, new))
        keys = before | now if path.startswith(DETAIL) else now
        results[path] = {
            key: {"old": before.get(key), "new": now.get(key)}
            for key in keys
            if key != "schema_version"
        }
    return results


def rules_difference(base: str) -> tuple[Changes, list[str]]:
    """What of the rules of the bets was added, removed or changed, which DVC does not compare.

    Returns:
        Old and new by file and key, as `difference` has them, and what is wrong with the file.
    """
    before = run("git", "show", f"{base}:{RULES}").stdout  # empty where it has no such file
    try:
        now = Path(RULES).read_text(encoding="utf-8") if Path(RULES).exists() else ""
        old, new = (flattened(yaml.safe_load(text)) for text in (before, now))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return {}, [f"`{RULES}` is broken: {' '.join(str(error).split())}"]
    changes = {
        key: {"old": old.get(key), "new": new.get(key)}
        for key in old | new
        if (key in old, old.get(key)) != (key in new, new.get(key))
    }
    return ({RULES: changes} if changes else {}), []


def flattened(settings: object, key: str = "") -> dict[str, object]:
    """Settings by dotted key, items of lists by number."""
    if not isinstance(settings, dict | list):
        return {key: settings} if key else {}
    items = settings.items() if isinstance(settings, dict) else enumerate(settings)
    nested = (flattened(value, f"{key}.{name}".lstrip(".")) for name, value in items)
    return {name: value for result in nested for name, value in result.items()}


def rows_of(changes: Changes) -> list[Row]:
    """One row for each metric, with its interval, in an order that stays."""
    rows = []
    for path, names in sorted(changes.items()):
        for key, change in sorted(names.items(), key=_by_number):
            if key.endswith(("_ci_low", "_ci_high")):
                continue
            low, high = (names.get(f"{key}_ci_{end}", {}) for end in ("low", "high"))
            ends = [
                (low[when], high[when]) if None not in (low.get(when), high.get(when)) else None
                for when in ("old", "new")
            ]
            rows.append(Row(path, key, change.get("old"), change.get("new"), *ends))
    return rows


def _by_number(item: tuple[str, dict]) -> list[tuple[int, str]]:
    """Sorts k2 before k16."""
    return [
        (int(part or 0), part) if part.isdigit() else (-1, part)
        for part in re.split(r"(\d+)", item[0])
    ]


def better(key: str) -> int:
    """1 if more of a metric is better, −1 if less is, 0 if its name does not tell."""
    words = set(re.split(r"[._]", key))
    return next((sign for sign, known in DIRECTIONS if words & set(known.split())), 0)


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
        + "\n".join(row.markdown(reading) for row, reading in pairs)
        for path, pairs in shown
    ]
    more = len(read) - MOST_ROWS
    if more > 0:
        tables.append(f"… and {more} more: `git diff` of metrics/detail/ shows them.")
    return "\n\n".join(tables)


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
    bets = sorted({key.split(".")[0] for key in keys if re.match(r"bet\d+\.", key)})
    rows = []
    for bet in bets:
        old, new = (_verdict(keys, bet, when) for when in ("old", "new"))
        mark = "" if old[0] == new[0] else "**flips**" if old[0] and new[0] else "new or gone"
        rows.append(f"| {bet} | {' '.join(old) or '–'} | {' '.join(new) or '–'} | {mark} |")
    header = "| bet | before | now | |\n|---|---|---|---|\n"
    return header + "\n".join(rows) if rows else "Not judged, neither before nor now."


def _verdict(keys: dict[str, dict], bet: str, when: str) -> tuple[str, ...]:
    def value(name: str) -> float | None:
        return keys.get(f"{bet}.{name}", {}).get(when)

    if value("posterior") is None:
        return ("",)
    verdict = {1: "supported", 0: "contradicted"}.get(value("supported"), "inconclusive")
    if not value("measured"):
        verdict = "not measured"
    if value("controls_failed"):
        verdict = "controls failed"
    return verdict, f"({value('posterior'):.0%})"


def _inside(value: float, ends: tuple[float, float] | None) -> bool:
    return ends is not None and ends[0] <= value <= ends[1]


def _shown(value: object, ends: tuple[float, float] | None = None) -> str:
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
