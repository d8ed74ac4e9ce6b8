r"""What each stage of the pipeline costs, at the default corpus or at several times as much speech.

Runs `dvc repro` in a clone of the last commit under runs/, whose dvc.lock forgets all but frozen
stages, and watches it with all its workers: seconds by stage, with what DVC does after it, how
busy the cores were, most memory.

    PYTHONPATH=src .venv/bin/python benchmarks/pipeline.py         # every stage, an hour
    PYTHONPATH=src .venv/bin/python benchmarks/pipeline.py --times 1 3 10 \
        --stages ingest encode normalize predict -S predict.heads=[gaussian] \
        -S predict.epochs=1 -S predict.pretrain_epochs=1

For more speech, clips of data/audio/ are repeated, each time with another length cut off their
start. Prints a section, which --write puts into docs/reference/performance.md.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import soundfile
from ruamel.yaml import YAML
from tqdm import tqdm

from machine import write_section
from mimi_dynamics.pipeline.definitions import load_stages

COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/pipeline.py"
CLONE = Path("runs/pipeline")
LOOK_SECONDS = 0.5
# Every so many looks memory is read, which takes 50 ms: at every look it took 5 % of two cores.
MEMORY_LOOKS = 20
RUNNING = re.compile(r"Running stage '(\S+)'")
# Where its committed result is that of code and settings, as in a clone, DVC leaves it out.
LEFT_OUT = "controls"
LONGEST_CUT = 0.5  # seconds off the start of a clip
GIB = 2**30


@dataclass(frozen=True)
class Cost:
    """Of one stage with all its workers.

    Attributes:
        seconds: by the clock.
        busy: seconds of all processors.
        memory: bytes at most, pages shared between processes counted once.
    """

    seconds: float = 0.0
    busy: float = 0.0
    memory: int = 0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, nargs="+", default=[1], help="as much speech")
    known = load_stages(Path("dvc.yaml"))
    parser.add_argument("--stages", nargs="+", choices=known, help="all but frozen if left out")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--write", action="store_true", help="into docs/reference/performance.md")
    arguments = parser.parse_args()
    found = {times: run(times, arguments.stages, arguments.settings) for times in arguments.times}
    several = len(arguments.times) > 1
    text = table(found, [word for word in sys.argv[1:] if word != "--write"])
    print(text)
    if arguments.write:
        write_section("Growth" if several else "The pipeline by stage", text)


def run(times: int, stages: list[str] | None, settings: list[str]) -> dict[str, Cost]:
    """The cost of each stage with so many times the default speech."""
    shutil.rmtree(CLONE, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ".", CLONE], check=True)
    (CLONE / "runs").mkdir()
    (CLONE / "runs/downloads").symlink_to(Path("runs/downloads").resolve())
    if times > 1:
        folder = repeat_speech(times)
        settings = [*settings, "ingest.corpora=[folder]", f"ingest.folder.path={folder}"]
    set_params(CLONE / "params.yaml", settings)
    forget_runs(CLONE / "dvc.lock")
    only = [name for name in load_stages(CLONE / "dvc.yaml") if name in (stages or [])]
    found = watch(["dvc", "repro", *(["--single-item"] if only else []), *only])
    found["disk"] = Cost(memory=bytes_below(CLONE / "data"))
    return found


def repeat_speech(times: int) -> Path:
    """A folder of the default corpus's clips, each so many times."""
    folder = (CLONE / "speech").resolve()
    draw = random.Random(0)
    for path in tqdm(sorted(Path("data/audio").rglob("*.flac")), "repeat", unit="clip"):
        audio, rate = soundfile.read(path, dtype="int16")
        voice, *rest = path.relative_to("data/audio").with_suffix("").parts
        for copy in range(times):
            target = folder / voice / f"{'-'.join(rest)}-{copy}.flac"
            target.parent.mkdir(parents=True, exist_ok=True)
            cut = int(draw.random() * LONGEST_CUT * rate) if copy else 0
            soundfile.write(target, audio[cut:], rate)
    return folder


def set_params(path: Path, settings: list[str]) -> None:
    """Change settings as `dvc exp run -S` does."""
    round_trip = YAML()
    params = round_trip.load(path)
    for setting in settings:
        key, _, value = setting.partition("=")
        *sections, name = key.split(".")
        target = params
        for section in sections:
            target = target[section]
        target[name] = YAML(typ="safe").load(value)
    round_trip.dump(params, path)


def forget_runs(lock: Path) -> None:
    """Leave only the entries of frozen stages."""
    round_trip = YAML()
    content = round_trip.load(lock)
    stages = load_stages(CLONE / "dvc.yaml")
    for name in list(content["stages"]):
        if not stages[name.partition("@")[0]].get("frozen"):
            del content["stages"][name]
    round_trip.dump(content, lock)


def watch(command: list[str]) -> dict[str, Cost]:
    """Run DVC in the clone, and look at it and its children until it ends: the cost by stage."""
    environment = os.environ | {"PATH": f"{Path('.venv/bin').resolve()}:{os.environ['PATH']}"}
    found: dict[str, Cost] = {}
    started: list[str] = []
    at, looks = time.monotonic(), 0
    known: dict[int, float] = {}
    with subprocess.Popen(
        command, cwd=CLONE, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        threading.Thread(target=listen, args=(process.stdout, started), daemon=True).start()
        while process.poll() is None:
            time.sleep(LOOK_SECONDS)
            now, processes = time.monotonic(), alive(process.pid)
            used = seconds_used(processes, known)
            held = 0 if looks % MEMORY_LOOKS else bytes_held(processes)
            looks += 1
            if started:
                cost = found.get(started[-1], Cost())
                found[started[-1]] = Cost(
                    cost.seconds + now - at,
                    cost.busy + used,
                    max(cost.memory, held),
                )
            at = now
    if process.returncode:
        sys.exit(f"pipeline: error: {' '.join(command)} failed")
    return found


def listen(lines: Iterable[str], started: list[str]) -> None:
    """Note the stages that DVC says it starts, and pass on what it says."""
    for line in lines:
        print(line, end="", file=sys.stderr, flush=True)
        if match := RUNNING.match(line):
            started.append(match[1])


def alive(pid: int) -> list[psutil.Process]:
    """Give a process and all below it."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:  # ended meanwhile
        return []


def seconds_used(processes: list[psutil.Process], known: dict[int, float]) -> float:
    """Seconds of processors since the last look, but for what processes did after it and ended.

    Nobody adds up the time of workers that have ended: they are children of a server of forks.

    Args:
        processes: those that are there now.
        known: the seconds of each at the last look, which become those of now.
    """
    used = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            now = times.user + times.system
            used += max(0.0, now - known.get(process.pid, 0.0))
            known[process.pid] = now
    return used


def bytes_held(processes: list[psutil.Process]) -> int:
    """Bytes held now; pages that several share count once."""
    held = 0
    for process in processes:
        with suppress(psutil.Error):
            held += process.memory_full_info().pss
    return held


def bytes_below(folder: Path) -> int:
    """Of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def table(found: dict[int, dict[str, Cost]], words: list[str]) -> str:
    """What was found, as text."""
    cores = len(os.sched_getaffinity(0))
    lines = [
        f"By `{' '.join([COMMAND, *words])} --write` on {cores}",
        "cores: seconds, how many cores were busy, most memory in GiB.",
        "",
        "| stage | " + " | ".join(f"{times} × the default corpus" for times in found) + " |",
        "|---|" + "---|" * len(found),
    ]
    names = list(dict.fromkeys(name for of in found.values() for name in of if name != "disk"))
    for name in names:
        cells = [
            f"{c.seconds:.0f} s, {c.busy / c.seconds:.1f}, {c.memory / GIB:.2f}"
            if c.seconds
            else "–"
            for c in (costs.get(name, Cost()) for costs in found.values())
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    totals = {"together": names}
    if LEFT_OUT in names:
        totals[f"together, `{LEFT_OUT}` left out"] = [of for of in names if of != LEFT_OUT]
    for title, kept in totals.items():
        sums = [sum(costs[of].seconds for of in kept if of in costs) for costs in found.values()]
        lines.append(f"| {title} | " + " | ".join(f"{total:.0f} s" for total in sums) + " |")
    disk = [f"{costs['disk'].memory / GIB:.2f} GiB" for costs in found.values()]
    lines.append("| `data/` on disk | " + " | ".join(disk) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
