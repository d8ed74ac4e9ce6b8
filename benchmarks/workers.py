"""What each of several workers gets done, of what one gets done alone: processes here, and Ray.

    PYTHONPATH=src .venv/bin/python benchmarks/workers.py

Encodes a small and a large share of the corpus with one worker and with one on every core; their
difference is free of what it takes to start. Prints a section, which --write keeps in
docs/reference/performance.md. Needs a machine without other work, and the extra `ray`; takes
5 minutes on two cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from machine import write_section
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.params import load_params

COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/workers.py --write"
TITLE = "Workers"
MANIFEST = Path("data/manifest.parquet")
ENGINES = {"local": "processes of this machine", "ray": "a cluster of Ray on this machine"}
EVERY = (16, 3)  # So many clips apart are those of the small and of the large share.


def main() -> None:
    """Measure, print, and with --write keep; or be one of the measured runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/reference/performance.md")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        engine, every = arguments.run
        print("seconds:", *encode(engine, int(every)))
        return
    text = "\n".join(section())
    print(text)
    if arguments.write:
        write_section(TITLE, text)


def encode(engine: str, every: int) -> tuple[float, float]:
    """Encode a share of the corpus: the seconds that it took, and those of the audio."""
    params = load_params()
    clips = pd.read_parquet(MANIFEST).iloc[::every]
    codec = load_codec(params.codec, params.compute)
    settings = params.encode.model_copy(update={"engine": engine})
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        encode_corpus(codec, clips, Path(name) / "latents", settings, Path(name) / "shards")
        return time.perf_counter() - start, float(clips["seconds"].sum())


def measured(engine: str, every: int, cores: int) -> tuple[float, float]:
    """The same in a process of its own, with so many cores."""
    environment = os.environ | {"MIMI_DYNAMICS_CORES": str(cores)}
    command = [sys.executable, __file__, "--run", engine, str(every)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, audio = output.stdout.split("seconds:")[1].split()
    return float(seconds), float(audio)


def rate(engine: str, cores: int) -> float:
    """Seconds of audio in a second, by the difference of the large share and the small one."""
    (short, less), (long, more) = (measured(engine, every, cores) for every in EVERY)
    return (more - less) / (long - short)


def section() -> Iterator[str]:
    """Yield the words and the table."""
    cores = available_cores()
    yield f"By `{COMMAND}`: seconds of audio that `encode` gets done in a"
    yield f"second with one worker and with {cores}, one on every core, each with one thread, but"
    yield "for what it takes to start."
    yield ""
    yield f"| engine | one worker | {cores} workers | each of these, of one alone |"
    yield "|---|--:|--:|--:|"
    for engine, title in tqdm(ENGINES.items(), "engines", disable=None):
        alone, together = rate(engine, 1), rate(engine, cores)
        share = together / cores / alone
        yield f"| `{engine}`, {title} | {alone:.0f} | {together:.0f} | {share:.2f} |"


if __name__ == "__main__":
    main()
