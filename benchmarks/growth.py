"""What stages take in memory and time, from an hour of latents to a hundred.

    PYTHONPATH=src .venv/bin/python benchmarks/growth.py --write

Makes up latents of 512 dimensions with a known gain in a temporary folder (9 GB at 100 hours), and
does of each stage from `normalize` on what grows: reads what the stage reads, prepares what it
trains on, takes 200 steps and scores test once, each in a process of its own. Prints a section,
which --write puts into docs/reference/performance.md with a picture; --hours 1 10 measures
less.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from growth_figure import PICTURE, TITLE, draw
from machine import write_section
from mimi_dynamics.density.fit import FitSpec, batches_of
from mimi_dynamics.density.predictor import make_conditional, make_marginal
from mimi_dynamics.density.training import MakeOptimizers, TrainingParams, fit, losses
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.latents.loading import GIB, LATENTS, NORMALIZER, load, on_disk, read_data
from mimi_dynamics.latents.normalizer import (
    fit_normalizer,
    frames_in_split,
    some_frames,
    voiced_frames,
)
from mimi_dynamics.latents.sequences import (
    Batch,
    BatchSource,
    Sequences,
    in_memory,
    make_batches,
)
from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.studies.calm.model import CalmTraining, make_calm, moments, shape_of
from mimi_dynamics.studies.codes.data import fit_frequencies, make_code_data
from mimi_dynamics.studies.codes.model import CodeModel
from mimi_dynamics.studies.engram.model import build, make_optimizers
from mimi_dynamics.studies.engram.subjects import first_codes, make_shape, make_subject
from mimi_dynamics.studies.recurrence.keys import ContrastiveKey, keys_of
from mimi_dynamics.studies.recurrence.lookup import Lookup, look_up, neighbour_counts
from mimi_dynamics.studies.rssm.training import RssmJob, encode_states, make_training, settle
from mimi_dynamics.studies.structure.study import HEAD
from recurrence import read_key_data

COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/growth.py"
HOURS = (1, 10, 100)
FRAMES_PER_HOUR = 45_000
DIM, CLIP_FRAMES, CLIPS_PER_GROUP = 512, 100, 128  # clips in a row group as of the stage encode
RHO = 0.7  # of every coordinate of 32 from frame to frame: a gain of −½ ln(1 − ρ²) a dimension
CODES = 512
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
STEPS = 200
CALM_WIDTH = 96
T = TypeVar("T")


def make_latents(folder: Path, hours: float) -> None:
    """32 autoregressions in 512 dimensions, and a little noise on all of these."""
    generator = np.random.default_rng(0)
    mixing = np.linalg.qr(generator.standard_normal((DIM, 32)))[0].T.astype(np.float32)
    info = {"codec": "made-up", "weights_sha256": "", "latent_kind": LATENT_KIND, "dim": DIM}
    info |= {"codebooks": 1, "frame_rate": 12.5, "sample_rate": 24000}
    with LatentWriter(folder / LATENTS, info) as writer:
        for split, share in SHARES.items():
            clips = round(hours * FRAMES_PER_HOUR * share / CLIP_FRAMES)
            for start in range(0, clips, CLIPS_PER_GROUP):
                count = min(CLIPS_PER_GROUP, clips - start)
                values = clips_of(count, generator) @ mixing
                values += 0.02 * generator.standard_normal(values.shape, np.float32)
                level, shut = np.zeros(CLIP_FRAMES, np.float32), np.zeros(CLIP_FRAMES, bool)
                codes = generator.integers(0, CODES, (count, CLIP_FRAMES, 1)).astype(np.int16)
                names = [f"{split}/{start + n}" for n in range(count)]
                writer.write(
                    [
                        EncodedClip(name, "nobody", split, of, level, shut, code)
                        for name, of, code in zip(names, values, codes, strict=True)
                    ]
                )


def clips_of(count: int, generator: np.random.Generator) -> np.ndarray:
    """Give (count, CLIP_FRAMES, 32) float32 autoregressions of unit variance."""
    paths = generator.standard_normal((count, CLIP_FRAMES, 32), np.float32)
    for frame in range(1, CLIP_FRAMES):
        paths[:, frame] = RHO * paths[:, frame - 1] + (1 - RHO**2) ** 0.5 * paths[:, frame]
    return paths


class Watch:
    """What a part took so far: seconds by name, of this process's own time of the processor."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    def time(self, name: str, work: Callable[[], T]) -> T:
        """Do some work, and note what it took."""
        start = time.process_time()
        result = work()
        self.found[name] = time.process_time() - start
        return result


def normalize(params: Params, watch: Watch) -> None:
    """As the stage: components of train."""
    latents = on_disk(LATENTS)
    train = frames_in_split(latents, "train") & voiced_frames(latents, 35.0)
    fitted_on = watch.time("read", lambda: latents.values[some_frames(train)])
    normalizer = watch.time("prepare", partial(fit_normalizer, fitted_on, params.latents.dim))
    normalizer.save(NORMALIZER)


def predict(params: Params, watch: Watch) -> None:
    """The flow of stage `predict`, from memory or, where that is too little, from disk."""
    data = watch.time("read", partial(read_data, params))
    density(watch, data, "flow", params)


def rssm(params: Params, watch: Watch) -> None:
    """The factorisation of stage `rssm`, and its states of every frame."""
    _, _, data = watch.time("read", partial(load, params))
    job = RssmJob(data, 16, 4.0, params.rssm, 1, params.seed)
    size = 0, 0, params.rssm.batch_frames
    train, test = (make_batches(data.select(split), *size) for split in ("train", "test"))
    training = make_training(job, STEPS)
    steps_and_scores(watch, training, train, test, params.rssm.lr)
    settle(training.model, data)
    watch.time("states", partial(encode_states, training.model, data))


def engram(params: Params, watch: Watch) -> None:
    """The memory of stage `engram` on raw x: keys of all frames, tables, training."""
    latents, _, data = watch.time("read", partial(load, params))
    codes = first_codes(latents, params)
    subject = watch.time("prepare", partial(make_subject, "raw", data, codes, params))
    shape = make_shape(subject, params)
    model = build(shape, "engram", params.engram.width, params.seed)
    train, test = (subject.batches(split) for split in ("train", "test"))
    tables = partial(make_optimizers, table_lr=params.engram.table_lr)
    steps_and_scores(watch, model, train, test, params.engram.lr, tables)


def calm(params: Params, watch: Watch) -> None:
    """The CALM of stage `calm`."""
    _, _, data = watch.time("read", partial(load, params))
    size = 1, params.predict.warmup_frames, params.calm.batch_frames
    train, test = (make_batches(data.select(split), *size) for split in ("train", "test"))
    shape = replace(shape_of(params.calm, data.dim), width=CALM_WIDTH)
    training = CalmTraining(make_calm(shape, *moments(data)), STEPS)
    steps_and_scores(watch, training, train, test, params.calm.lr)


def steps_and_scores(
    watch: Watch,
    model: nn.Module,
    train: list[Batch] | BatchSource,
    test: list[Batch],
    rate: float,
    optimizers: MakeOptimizers | None = None,
) -> None:
    """Take `STEPS` steps, and score test once."""
    some, generator = list(islice(cycle(train), STEPS)), torch.Generator().manual_seed(0)
    of = TrainingParams(rate, 1)
    watch.time("steps", lambda: fit(model, some, test[:1], of, generator, optimizers))
    nll = watch.time("score", partial(losses, model, test))
    watch.found["frames scored"] = len(nll)


def structure(params: Params, watch: Watch) -> None:
    """The density of stage `structure`, on all of the past."""
    _, _, data = watch.time("read", partial(load, params))
    density(watch, data, HEAD, params)


def density(watch: Watch, data: Sequences, head: str, params: Params) -> None:
    """A density of the next frame given the past."""
    job = FitSpec("real", data, head, 1, params.predict, params.seed)
    train = batches_of(job, "train")
    validation, test = (in_memory(batches_of(job, split)) for split in ("validation", "test"))

    def prepare() -> nn.Module:
        gaussian, var = (fit_var(train, validation, order) for order in (0, 8))
        marginal = make_marginal(gaussian, head, params.predict.width, params.predict.components)
        return make_conditional(marginal, var, params.predict.width, params.predict.dropout)

    model = watch.time("prepare", prepare)
    steps_and_scores(watch, model, train, test, params.predict.lr)


def recurrence(params: Params, watch: Watch) -> None:
    """The keys of stage `recurrence`: one is learned, and others are looked up."""
    data = watch.time("read", partial(read_key_data, params))
    steps_and_scores(
        watch,
        ContrastiveKey(data.sequences.dim),
        data.batches("train"),
        data.batches("test"),
        params.recurrence.lr,
    )
    counts = neighbour_counts(data, params.recurrence.neighbours)
    for name in keys_of(data):
        if name != "learned":
            look_up(Lookup("real", name, data, counts, params.recurrence.samples))


def codes(params: Params, watch: Watch) -> None:
    """The model of stage `codes`, of codes that tell nothing."""
    data = watch.time("read", lambda: make_code_data(on_disk(LATENTS), CODES, params))
    train, validation, test = (data.batches(split) for split in SHARES)

    def prepare() -> nn.Module:
        frequencies = fit_frequencies(train, validation, CODES)
        start = CodeModel(data.vectors, frequencies, params.codes.width, params.codes.dropout)
        decoded = data.as_vectors()
        var = fit_var(decoded.batches("train"), decoded.batches("validation"), 8)
        return start.with_past(var, params.codes.width, params.codes.dropout)

    model = watch.time("prepare", prepare)
    steps_and_scores(watch, model, train, test, params.codes.lr)


PARTS = {
    part.__name__: part
    for part in (normalize, predict, structure, recurrence, codes, rssm, engram, calm)
}


def peak() -> int:
    """Most bytes that this process ever held."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def measured(folder: Path, name: str) -> dict[str, float]:
    """Do one part in a process of its own."""
    command = [sys.executable, __file__, "--part", name, "--folder", str(folder)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(output.stdout.splitlines()[-1])


def section(all_hours: list[float], folder_of_all: str | None) -> list[str]:
    """A table as lines of text."""
    gain = -0.5 * np.log(1 - RHO**2)
    lines = [
        f"By `{COMMAND}` on one core, in time of the processor: latents of {DIM} dimensions, 32 of",
        f"them autoregressions (a gain of {gain:.3f} nats each). *Read* is all that a stage reads,",
        f"*a step* the mean of {STEPS}, *scored* one pass over test, a tenth of all frames; memory",
        "is the most that the process held, and in brackets what it held before it began.",
        "",
        f"![Memory and time of every stage, by hours of latents](../img/{PICTURE.name})",
        "",
        "| stage | hours | memory, GiB | read, s | prepared, s | a step, ms | scored, µs a frame |",
        "|---|---|---|---|---|---|---|",
    ]
    for hours in all_hours:
        with tempfile.TemporaryDirectory(dir=folder_of_all) as name:
            folder = Path(name)
            make_latents(folder, hours)
            (folder / "params.yaml").write_text(Path("params.yaml").read_text())
            (folder / NORMALIZER).parent.mkdir()
            for part in PARTS:
                lines.append(row(part, hours, measured(folder, part)))
                print(lines[-1], file=sys.stderr, flush=True)
    return lines


def row(part: str, hours: float, found: dict[str, float]) -> str:
    """A line of the table."""
    cells = [f"`{part}`", f"{hours:g}", f"{found['peak'] / GIB:.2f} ({found['start'] / GIB:.2f})"]
    cells += [f"{found[of]:.1f}" if of in found else "" for of in ("read", "prepare")]
    cells += [f"{1000 * found['steps'] / STEPS:.1f}" if "steps" in found else ""]
    scored = found.get("frames scored")
    cells += [f"{1e6 * found['score'] / scored:.0f}" if scored else ""]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the benchmark, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, nargs="+", default=list(HOURS))
    parser.add_argument("--folder", help="for made-up latents, where there is room for 10 GB")
    parser.add_argument("--write", action="store_true", help="into docs/reference/performance.md")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        torch.set_num_threads(1)
        os.chdir(arguments.folder)
        watch, start = Watch(), peak()
        PARTS[arguments.part](load_params(), watch)
        print(json.dumps(watch.found | {"start": start, "peak": peak()}))
        return
    text = "\n".join(section(arguments.hours, arguments.folder))
    print(text)
    if arguments.write:
        write_section(TITLE, text)
        draw()


if __name__ == "__main__":
    main()
