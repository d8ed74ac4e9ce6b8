"""Kill the pipeline at random moments, start it again, and compare with one that nothing disturbed.

Runs the small pipeline of `test_pipeline.py` once in peace, on one core, and once on all cores with
SIGKILL to its whole process group, again and again; where it gets through, a stage drawn at random
is forced. In the end every output (`dvc.lock` has the hashes of all) must be that of the
undisturbed run: neither kills nor the number of cores leave a trace.

    PYTHONPATH=src .venv/bin/python -m tests.kill_harness --kills 50 --seed 0
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from tqdm import tqdm

from tests.small_pipeline import environment, make_clone, run

LONGEST_SECONDS = 25.0  # before a kill


def outputs(clone: Path) -> dict[str, dict[str, str]]:
    """Hash of every output, by stage."""
    lock: dict[str, Any] = YAML(typ="safe", pure=True).load(clone / "dvc.lock")["stages"]
    return {
        name: {out["path"]: out["md5"] for out in stage.get("outs", [])}
        for name, stage in lock.items()
    }


def disturb(clone: Path, seconds: float, *command: str) -> tuple[bool, str]:
    """Start DVC and kill it and all its children after a while.

    Returns:
        Whether it was still at work, and the stage that it had come to.
    """
    log = clone.parent / "disturbed.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=clone,
            env=environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed = True
        else:
            killed = False
    stages = [line for line in log.read_text().splitlines() if line.startswith("Running stage")]
    if not killed and process.returncode:
        sys.exit(f"kill_harness: error: {' '.join(command)} failed:\n{log.read_text()}")
    return killed, stages[-1].split("'")[1] if stages else "none"


def harness(folder: Path, kills: int, seed: int) -> list[str]:
    """Outputs that differ after all kills; empty if none does."""
    draw = random.Random(seed)
    peaceful, disturbed = folder / "peaceful", folder / "disturbed"
    for clone in (peaceful, disturbed):
        clone.mkdir()
        make_clone(clone)
    started = time.monotonic()
    run(peaceful, "dvc", "repro")
    print(f"undisturbed: {time.monotonic() - started:.0f} s", flush=True)
    wanted = outputs(peaceful)
    stages = [name for name in wanted if name != "codec"]  # frozen
    hit: Counter[str] = Counter()
    command = ["dvc", "repro"]
    with tqdm(total=kills, desc="kill", disable=None) as bar:
        while hit.total() < kills:
            killed, stage = disturb(disturbed, draw.uniform(1, LONGEST_SECONDS), *command)
            if killed:
                hit[stage] += 1
                bar.update()
                command = ["dvc", "repro"]
            else:  # got through: from somewhere else again
                command = ["dvc", "repro", "--force", "--single-item", draw.choice(stages)]
    run(disturbed, "dvc", "repro")
    print(f"{hit.total()} kills, in {dict(sorted(hit.items()))}", flush=True)
    found = outputs(disturbed)
    return [
        f"{stage}: {path}"
        for stage, paths in wanted.items()
        for path, digest in paths.items()
        if found.get(stage, {}).get(path) != digest
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="how often to kill (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        different = harness(Path(folder), options.kills, options.seed)
    if different:
        sys.exit("kill_harness: error: not as without kills: " + ", ".join(different))
    print("every output is that of the undisturbed run, byte for byte")


if __name__ == "__main__":
    main()
