"""What DVC itself takes: to find nothing to do, and around a stage that it runs.

    PYTHONPATH=src .venv/bin/python benchmarks/overhead.py

Runs in this folder, where `dvc repro` must have nothing to do; stage `normalize` is run again,
alone and by DVC in turns, and writes what is there. Prints a section, which --write puts into
docs/reference/performance.md. Takes 4 minutes.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from machine import write_section

REPEATS = 5
COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/overhead.py --write"
WAYS = {
    "`dvc status`": ["dvc", "status"],
    "`dvc repro`, nothing to do": ["dvc", "repro"],
    "`dvc metrics diff`": ["dvc", "metrics", "diff"],
    "`python src/normalize.py`": ["python", "src/normalize.py"],
    "`dvc repro --force --single-item normalize`": [
        *("dvc", "repro", "--force", "--single-item", "normalize")
    ],
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/reference/performance.md")
    arguments = parser.parse_args()
    if "up to date" not in said(WAYS["`dvc status`"]):
        sys.exit("overhead: error: `dvc repro` would have something to do here; run it first")
    rounds = [[seconds(command) for command in WAYS.values()] for _ in range(REPEATS)]
    lines = [
        f"By `{COMMAND}`: seconds of {REPEATS} rounds in turns, median,",
        "least and most.",
        "",
        "| | seconds |",
        "|---|---|",
    ]
    for name, times in zip(WAYS, zip(*rounds, strict=True), strict=True):
        lines.append(f"| {name} | {median(times):.1f} ({min(times):.1f} to {max(times):.1f}) |")
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        write_section("DVC's own time", text)


def said(command: list[str]) -> str:
    """What a command printed."""
    path = f"{Path('.venv/bin').resolve()}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"overhead: error: {' '.join(command)} failed:\n{result.stderr}")
    return result.stdout


def seconds(command: list[str]) -> float:
    """What a command takes by the clock."""
    start = time.monotonic()
    said(command)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
