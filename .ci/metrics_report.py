"""What a pull request changes in parameters and metrics, as Markdown on standard output.

    python .ci/metrics_report.py origin/main

Compares the working tree with its merge base with the given revision. Needs no data and runs no
stage. Exits with 1, and says so first, if dvc.lock is stale or a metrics file missing or broken.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import yaml

FRESH = "Data and pipelines are up to date."
ROOT = Path(__file__).resolve().parent.parent
DVC = [sys.executable, "-m", "dvc"]


def main() -> int:
    """Print the report; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="revision to compare with, for instance origin/main")
    base = run("git", "merge-base", parser.parse_args().base, "HEAD")
    if base.returncode:
        sys.exit(f"metrics_report: {base.stderr.strip()}")
    problems = lock_problems() + metrics_problems()
    if problems:
        print("### This pull request is not ready\n")
        print("\n".join(f"- {problem}" for problem in problems), end="\n\n")
    commit = base.stdout.strip()
    for kind in ("params", "metrics"):
        print(f"### {kind.capitalize()} against {commit[:7]}\n\n{difference(kind, commit)}\n")
    return 1 if problems else 0


def lock_problems() -> list[str]:
    """Whether the committed results are those of the committed code and settings."""
    dry = run(*DVC, "repro", "--dry", "--allow-missing")
    if FRESH in dry.stdout:
        return []
    stages = [line for line in dry.stdout.splitlines() if line.startswith("Running stage")]
    return [f"`dvc.lock` is stale: run `dvc repro` and commit. {' '.join(stages)}".strip()]


def metrics_problems() -> list[str]:
    """Every metrics file named in dvc.yaml that is missing, or holds what DVC cannot compare."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    files = [
        name for stage in stages.values() for entry in stage.get("metrics", []) for name in entry
    ]
    problems = []
    for name in files:
        try:
            content = json.loads((ROOT / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            problems.append(f"`{name}` is missing")
        except ValueError as error:
            problems.append(f"`{name}` is broken: {error}")
        else:
            problems += [f"`{name}`: {key} is not a finite number" for key in unusable(content)]
    return problems


def unusable(value: object, key: str = "") -> list[str]:
    """Keys whose values are neither finite numbers, strings nor nested dicts of them."""
    if isinstance(value, dict):
        return [bad for k, v in value.items() for bad in unusable(v, f"{key}.{k}".lstrip("."))]
    if isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value)):
        return []
    return [key or "the file"]


def difference(kind: str, base: str) -> str:
    """A table of what changed, in a stable order (DVC's own order is random)."""
    found = run(*DVC, kind, "diff", base, "--json")
    if found.returncode:
        return f"`dvc {kind} diff` failed: {found.stderr.strip()}"
    changes = json.loads(found.stdout or "{}")
    rows = [
        f"| {path} | {name} | {shown(change.get('old'))} | {shown(change.get('new'))} "
        f"| {shown(change.get('diff'))} |"
        for path, names in sorted(changes.items())
        for name, change in sorted(names.items())
    ]
    header = "| file | name | before | now | change |\n|---|---|---|---|---|\n"
    return header + "\n".join(rows) if rows else "Nothing changed."


def shown(value: object) -> str:
    """A cell of the table."""
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository and catch what it prints."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
