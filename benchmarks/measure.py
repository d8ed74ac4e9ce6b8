"""Time and memory of `measure` on a file of latents, which is made first and removed afterwards.

    PYTHONPATH=src .venv/bin/python benchmarks/measure.py 45000 32     # an hour at 12.5 a second
    PYTHONPATH=src .venv/bin/python benchmarks/measure.py 450000 32    # ten hours
    PYTHONPATH=src .venv/bin/python benchmarks/measure.py 10000000 512 --read-only    # 20 GB

The latents are a linear process, x_t = 0.7 x_{t−1} + noise, mixed over dimensions. With --read-only
they are read, checked and whitened but not fitted, and repeat a part, each time a little larger, as
that is made sooner. Everything runs on one core.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from mimi_dynamics import measure
from mimi_dynamics.measurement.efforts import EFFORTS
from mimi_dynamics.measurement.preparing import prepare
from mimi_dynamics.own_latents.reading import read_source
from mimi_dynamics.pipeline.limits import CORES_SETTING
from mimi_dynamics.pipeline.parallel import use_one_thread

RATE = 12.5
PART = 10_000  # frames that are made at once
MEBIBYTE = 2**20


def main() -> None:
    """Make the file, and measure it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frames", type=int)
    parser.add_argument("dim", type=int)
    parser.add_argument("--read-only", action="store_true")
    asked = parser.parse_args()
    use_one_thread()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "latents.npy"
        write_latents(path, asked.frames, asked.dim, alike=asked.read_only)
        before, start, used = resident(), time.perf_counter(), time.process_time()
        if asked.read_only:
            found = prepare(read_source(path), most_frames=EFFORTS["fast"].most_frames)
            print(found.facts, *found.notes, sep="\n")
        else:
            print(measure(path, frame_rate=RATE))
        seconds, of_processor = time.perf_counter() - start, time.process_time() - used
        size = path.stat().st_size / MEBIBYTE
    print(
        f"file {size:,.0f} MiB; {of_processor:.0f} s of processor time, {seconds:.0f} s in all; "
        f"resident before {before:,.0f} MiB, at most {resident():,.0f} MiB"
    )


def write_latents(path: Path, frames: int, dim: int, *, alike: bool) -> None:
    """Write latents part by part.

    Args:
        path: the file.
        frames: how many.
        dim: dimensions of each.
        alike: whether all parts are the first one, scaled, which takes less time.
    """
    random = np.random.default_rng(0)
    mixing = random.normal(size=(dim, dim)) / np.sqrt(dim)
    last, first_part = random.normal(size=dim), None
    header = {"descr": "<f4", "fortran_order": False, "shape": (frames, dim)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for number, start in enumerate(range(0, frames, PART)):
            if alike and first_part is not None:
                part = first_part * np.float32(1 + number / 1000)
            else:
                noise = random.normal(size=(PART, dim))
                for row in noise:
                    row += 0.7 * last
                    last = row
                part = first_part = (noise @ mixing).astype("<f4")
            file.write(part[: frames - start].data)


def resident() -> float:
    """Give the largest memory of this process so far, in MiB, what it maps of files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.environ[CORES_SETTING] = "1"
    main()
