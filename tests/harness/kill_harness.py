"""Kill the pipeline at random moments, start it again, and compare with one that nothing disturbed.

Runs the small pipeline of `test_pipeline.py` once in peace, on one core, and once on all cores.
There it forces one stage after the other and sends SIGKILL to DVC and all its children while they
are at work on it; then `dvc repro` has to mend what is left. In the end every output (`dvc.lock`
has the hashes of all) must be that of the undisturbed run: neither kills nor the number of cores
leave a trace.

    PYTHONPATH=src .venv/bin/python -m tests.harness.kill_harness --kills 50 --seed 0
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

from tests.harness.small_pipeline import environment, make_clone, run, stay_on_one_core

START_SECONDS = 1.5  # that DVC takes before it runs a stage
# What DVC says where a kill left a file of its own half-written, and what the README says to do.
REMEDIES = {
    "structure is corrupted": ["rm", ".dvc/tmp/rwlock"],
    "dvc.lock'": ["git", "checkout", "--quiet", "dvc.lock"],
}


def outputs(clone: Path) -> dict[str, dict[str, str]]:
    """Hash of every output, by stage."""
    lock: dict[str, Any] = YAML(typ="safe", pure=True).load(clone / "dvc.lock")["stages"]
    return {
        name: {out["path"]: out["md5"] for out in stage.get("outs", [])}
        for name, stage in lock.items()
    }


def disturb(clone: Path, seconds: float, stage: str) -> bool:
    """Force a stage, kill DVC and all its children after a while; whether it was at work then."""
    log = clone.parent / "disturbed.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            ["dvc", "repro", "--force", "--single-item", stage],
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
    text = log.read_text()
    if process.returncode > 0:
        sys.exit(f"kill_harness: error: {stage} failed:\n{text}")
    return process.returncode < 0 and "Running stage" in text


def mend(clone: Path) -> list[str]:
    """`dvc repro`; which of DVC's own files were so broken that it needed a remedy first."""
    broken = []
    result = run(clone, "dvc", "repro", check=False, prepare=None)
    for complaint, remedy in REMEDIES.items():
        if result.returncode and complaint in result.stderr:
            run(clone, *remedy)
            broken.append(remedy[-1])
            result = run(clone, "dvc", "repro", check=False, prepare=None)
    if result.returncode:
        sys.exit(f"kill_harness: error: dvc repro failed after a kill:\n{result.stderr}")
    return broken


def harness(folder: Path, kills: int, seed: int) -> list[str]:
    """Outputs that differ after all kills; empty if none does."""
    draw = random.Random(seed)
    peaceful, disturbed = folder / "peaceful", folder / "disturbed"
    for clone in (peaceful, disturbed):
        clone.mkdir()
        make_clone(clone)
    seconds = undisturbed(peaceful)
    print(f"undisturbed: {sum(seconds.values()):.0f} s", flush=True)
    wanted = outputs(peaceful)
    run(disturbed, "dvc", "repro", prepare=None)
    run(disturbed, "git", "add", "dvc.lock")
    run(disturbed, "git", "commit", "-qm", "Undisturbed")

    hit: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    stages = list(seconds)
    draw.shuffle(stages)
    with tqdm(total=kills, desc="kill", disable=None) as bar:
        while hit.total() < kills:
            stage = stages[hit.total() % len(stages)]
            if disturb(disturbed, START_SECONDS + draw.uniform(0, seconds[stage]), stage):
                hit[stage] += 1
                bar.update()
            broken.update(mend(disturbed))
    print(f"{hit.total()} kills, in {dict(sorted(hit.items()))}", flush=True)
    print(f"DVC's own files that were broken: {dict(broken)}", flush=True)
    found = outputs(disturbed)
    return [
        f"{stage}: {path}"
        for stage, paths in wanted.items()
        for path, digest in paths.items()
        if found.get(stage, {}).get(path) != digest
    ]


def undisturbed(clone: Path) -> dict[str, float]:
    """Run everything on one core; the seconds of every stage."""
    started = {}
    with subprocess.Popen(
        ["dvc", "repro"],
        cwd=clone,
        env=environment(),
        preexec_fn=stay_on_one_core,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("Running stage"):
                started[line.split("'")[1]] = time.monotonic()
    if process.returncode:
        sys.exit("kill_harness: error: dvc repro failed undisturbed")
    ends = [*list(started.values())[1:], time.monotonic()]
    return {stage: end - start for (stage, start), end in zip(started.items(), ends, strict=True)}


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
