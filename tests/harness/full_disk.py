"""Every writer of the library on a small file system that fills up in its middle, or is read-only.

`test_full_disk.py` runs this with a mount namespace of its own, in which anyone may mount:

    PYTHONPATH=src unshare -Ur --mount .venv/bin/python -m tests.harness.full_disk

Each writer is run as a stage on a disk with an old result and ever more room, until it succeeds.
Before that it must end in one line that names the disk, with the old result as it was and nothing
beside it; at last its result must be that of an empty disk.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from ingest import ingest
from mimi_dynamics.generation.sounds import Listening, write_sounds
from mimi_dynamics.latents.states import write_states
from mimi_dynamics.latents.store import EncodedClip, LatentWriter, read_latents
from mimi_dynamics.pipeline.files import remove, write_metrics
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.tensors import write_tensors
from mimi_dynamics.speech.ingestion import MANIFEST_SCHEMA, write_manifest
from tests.harness import ROOT
from tests.harness.audio_files import ingest_params, write_voices
from tests.latents.test_store import INFO
from tests.speech.test_ingestion import tree

BLOCK = 4096
STEPS = 6  # how often a writer is run before there is room enough
Write = Callable[[float], None]  # `kind` makes the old result and the new one differ


def noise(shape: tuple[int, ...], kind: float) -> np.ndarray:
    """float32 that does not compress."""
    return np.random.default_rng(int(kind)).standard_normal(shape).astype(np.float32) / 10


def latents(kind: float) -> None:
    """Three row groups."""
    with LatentWriter(Path("data/latents"), INFO) as writer:
        for split in ("train", "validation", "test"):
            level, codes = noise((2_000,), kind), np.zeros((2_000, 2), np.int16)
            clip = EncodedClip(
                split, "ann", split, noise((2_000, 5), kind), level, level > 0, codes
            )
            writer.write([clip])


def states(kind: float) -> None:
    """Of latents that lie elsewhere."""
    found = read_latents(ELSEWHERE / "data/latents")
    write_states(Path("data/states"), found, noise((6_000, 4), kind))


def figure(kind: float) -> None:
    """A picture of noise."""
    drawn = Figure()
    drawn.subplots().imshow(noise((99, 99), kind))
    save_figure(drawn, Path("plots/a.png"))


def manifest(kind: float) -> None:
    """Of many clips."""
    names = [f"{kind}/{number}" for number in np.random.default_rng(0).permutation(3_000)]
    table = pd.DataFrame(dict.fromkeys(MANIFEST_SCHEMA.names, names))
    table = table.assign(seconds=1.0, gated=[[0, 200]] * len(table))
    write_manifest(table, Path("data/manifest.parquet"))


def speech(kind: float) -> None:
    """The stage ingest: clips, manifest, list of rejected files, metrics."""
    clips = 40 if kind == 1 else 60
    settings = ingest_params(folder={"path": str(ELSEWHERE / f"speech{clips}")})
    ingest(PARAMS.model_copy(update={"ingest": settings}))


WRITERS: dict[str, Write] = {
    "metrics": lambda kind: write_metrics(
        Path("metrics/a.json"), {f"k{n}": kind / n for n in range(1, 3_000)}
    ),
    "figure": figure,
    "tensors": lambda kind: write_tensors(
        Path("models/a.safetensors"), {"a": torch.from_numpy(noise((20_000,), kind))}, {}
    ),
    "latents": latents,
    "states": states,
    "manifest": manifest,
    "sounds": lambda kind: write_sounds(
        [Listening("a", 0.0, {"one": noise((24_000,), kind), "two": noise((24_000,), kind)})],
        "Title",
        Path("data/calm"),
    ),
    "ingest": speech,
}


def attempt(write: Write, kind: float) -> str:
    """Run a writer as a stage; what it said, '' if it ended well."""

    def measure(_: Params) -> None:
        write(kind)

    try:
        run_stage(measure)
    except SystemExit as error:
        return str(error)
    return ""


@contextlib.contextmanager
def disk(size: int) -> Iterator[Path]:
    """A file system of its own in memory, with settings in it, as the current folder."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", name], check=True)
        try:
            with contextlib.chdir(name):
                Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
                yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def free(folder: Path) -> int:
    """Bytes."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def fill(folder: Path, room: int) -> None:
    """Leave so many bytes."""
    remove(folder / "filler")
    (folder / "filler").write_bytes(bytes(max(0, free(folder) - room)))


def results(folder: Path) -> dict[str, bytes]:
    """All that writers wrote."""
    return {
        name: content
        for name, content in tree(folder).items()
        if name not in ("filler", "params.yaml", "runs/measure.lock")
    }


def try_all_rooms(write: Write) -> tuple[int, list[str]]:
    """How often a writer met a full disk, and what was wrong."""
    with disk(1 << 26) as folder:
        attempt(write, 1)
        before = free(folder)
        old = results(folder)
        attempt(write, 2)
        wanted = results(folder)
        old_size = (1 << 26) - before
    new_size = sum(-(-len(content) // BLOCK) * BLOCK for content in wanted.values())
    problems, full = [], 0
    with disk(old_size + 8 * new_size) as folder:
        if attempt(write, 1) or results(folder) != old:
            return 0, ["does not even start"]
        for step in range(STEPS):
            fill(folder, step * new_size // STEPS // BLOCK * BLOCK)
            said = attempt(write, 2)
            if not said:
                problems.append(f"took less room than it needs, step {step}")
                break
            full += 1
            if not said.startswith("measure: error: ") or "No space left" not in said:
                problems.append(f"said {said!r}")
            if "\n" in said:
                problems.append(f"more than a line: {said!r}")
            left = results(folder)
            if left != old and not partly_new(left, old, wanted):
                problems.append(f"left {sorted(set(left) ^ set(old))} at step {step}")
        remove(folder / "filler")
        if attempt(write, 2) or results(folder) != wanted:
            problems.append("is not what it should be after all")
        problems += read_only(write, folder, wanted)
    return full, problems


def partly_new(left: dict[str, bytes], old: dict[str, bytes], new: dict[str, bytes]) -> bool:
    """Whether every file is whole, the old one or the new one, and every folder one of both."""
    folders = {str(Path(*Path(name).parts[:2])) for name in {*left, *old, *new}}

    def below(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
        return {n: c for n, c in files.items() if n == folder or n.startswith(f"{folder}/")}

    return all(below(left, f) in (below(old, f), below(new, f)) for f in folders)


def read_only(write: Write, folder: Path, before: dict[str, bytes]) -> list[str]:
    """What is wrong where nothing may be written."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    said = attempt(write, 1)
    if "Read-only file system" not in said or "\n" in said or results(folder) != before:
        return [f"on a read-only disk: {said!r}"]
    return []


def main() -> None:
    """The command."""
    sys.argv = ["measure.py"]
    with contextlib.chdir(ELSEWHERE):
        latents(0)
    for clips in (40, 60):
        write_voices(ELSEWHERE / f"speech{clips}", 2, clips // 2)
    wrong = []
    for name, write in WRITERS.items():
        full, problems = try_all_rooms(write)
        print(f"{name}: the disk was full {full} times", flush=True)
        wrong += [f"{name}: {problem}" for problem in problems]
    if wrong:
        sys.exit("full_disk: error:\n" + "\n".join(wrong))


if __name__ == "__main__":
    PARAMS = load_params(ROOT / "params.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        ELSEWHERE = Path(scratch)
        main()
