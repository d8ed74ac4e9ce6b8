"""What threads of several trainings do to each other: time of a step, by processes and threads.

    PYTHONPATH=src .venv/bin/python benchmarks/threads.py

Trains mimi-mini on noise, as `src/codec.py` does, in one process or in several at once, each with
one thread or with one for every core. `dvc queue start --jobs 2` is such a case. Prints a section,
which --write puts into docs/reference/performance.md. Needs a machine without other work; takes
4 minutes.
"""

import argparse
import subprocess
import sys
import time
from statistics import median

import numpy as np
import torch

from machine import write_section
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.studies.codec.training import CodecTraining

COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/threads.py --write"
SECONDS = 40
AUDIO_SECONDS = 60


def main() -> None:
    """Run the benchmark, or be one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/reference/performance.md")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.threads:
        print(step_seconds(arguments.threads))
        return
    cores = available_cores()
    lines = [
        f"By `{COMMAND}` on {cores} cores: seconds of a step of training",
        f"mimi-mini, median over {SECONDS} s and over the processes, and steps a minute of all",
        "processes together.",
        "",
        "| processes | threads of each | seconds a step | steps a minute |",
        "|--:|--:|--:|--:|",
    ]
    for processes, threads in [(1, 1), (1, cores), (cores, 1), (cores, cores)]:
        seconds = median(beside_each_other(processes, threads))
        together = f"{60 * processes / seconds:.0f}"
        lines.append(f"| {processes} | {threads} | {seconds:.2f} | {together} |")
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        write_section("Threads that wait for each other", text)


def beside_each_other(processes: int, threads: int) -> list[float]:
    """Give the seconds of a step in each of some processes that train at the same time."""
    command = [sys.executable, __file__, "--threads", str(threads)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    return [float(process.communicate()[0]) for process in running]


def step_seconds(threads: int) -> float:
    """Give the median seconds of a step over `SECONDS`."""
    torch.set_num_threads(threads)
    noise = np.random.default_rng(0).normal(0, 1_000, AUDIO_SECONDS * 24_000).astype(np.int16)
    mini = load_params().codec.mini
    training = CodecTraining(mini, mini.legs[0], noise)
    seconds: list[float] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or len(seconds) < 3:
        start = time.perf_counter()
        training.step()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


if __name__ == "__main__":
    main()
