r"""What training the predictor costs: resident, streamed, compiled, shared; time and memory.

Trains the conditional density of stage `predict`, head `head`, for a pass over train, again and
again, ways taking turns, each on one thread. Rates are by seconds of the processor, which vary less
than the clock's on a machine with other work, but for processes that share, which are by the clock.

    PYTHONPATH=src .venv/bin/python benchmarks/training.py [--before COMMIT]

Reads data/latents/ and models/normalizer.safetensors. --before also times the training loop of a
commit, on the same batches. Prints a page, which --write keeps as
docs/reference/performance_training.md. Takes more than ten minutes.
"""

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

import training_memory
from machine import write_page
from mimi_dynamics.density import training
from mimi_dynamics.density.predictor import Predictor, make_conditional, make_marginal
from mimi_dynamics.density.training import TrainingParams
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.latents.loading import load, stream_data
from mimi_dynamics.latents.normalizer import load_normalizer
from mimi_dynamics.latents.row_groups import row_groups
from mimi_dynamics.latents.sequences import Batch, BatchSource, Sequences, in_memory, scored_frames
from mimi_dynamics.latents.streaming import BatchStream
from mimi_dynamics.pipeline.distributed import is_main_process, process_group
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, Params, load_params
from training_parts import limits, loop_of, timed

PAGE = Path("docs/reference/performance_training.md")
REPEATS = 5
SHARED_REPEATS = 2
WARM = 0.25  # of the steps of a pass, which do not count: compilers work then
STREAM_GIB = 0.15  # little more than validation and test take: several blocks of train
HALF = PLAIN.model_copy(update={"dtype": "bfloat16"})
COMPILED = PLAIN.model_copy(update={"compile": True})
Batches = list[Batch] | BatchStream


@dataclass(frozen=True)
class Case:
    """What is trained, and on what.

    Attributes:
        start: the model, untrained.
        resident: batches of train in memory.
        streamed: the same train from disk.
        frames: targets in a pass.
        lr: peak learning rate.
    """

    start: Predictor
    resident: list[Batch]
    streamed: BatchStream
    frames: int
    lr: float


def read_case(params: Params) -> Case:
    """The conditional of stage `predict` before its training."""
    predict = params.predict
    real = load(params).sequences
    groups = row_groups(Path("data/latents"))
    normalizer = load_normalizer(Path("models/normalizer.safetensors"))
    on_disk = stream_data(groups, normalizer, params.latents.voiced_range_db, STREAM_GIB, 0)

    def batches(of: Sequences, split: str) -> list[Batch] | BatchSource:
        size = params.horizon, predict.warmup_frames, predict.batch_frames
        return of.batches(split, *size, delta=False)

    train, validation = (in_memory(batches(real, split)) for split in ("train", "validation"))
    streamed = batches(on_disk, "train")
    assert isinstance(streamed, BatchStream)  # as `stream_data` leaves train on disk
    torch.manual_seed(0)
    marginal = make_marginal(
        fit_var(train, validation, 0), params.head, predict.width, predict.components
    )
    var = fit_var(train, validation, predict.var_order)
    start = make_conditional(marginal, var, predict.width, predict.dropout)
    return Case(start, train, streamed, scored_frames(train), predict.lr)


def rate(
    case: Case,
    train: Batches,
    compute: ComputeParams = PLAIN,
    loop: ModuleType = training,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Frames per second of one pass, after its first steps."""
    marks: list[float] = []

    def marking(of: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
        optimizer = torch.optim.AdamW(of.parameters(), lr=lr, fused=True)
        optimizer.register_step_post_hook(lambda *_: marks.append(clock()))
        return [optimizer]

    model, generator = copy.deepcopy(case.start), torch.Generator().manual_seed(0)
    settings = {"compute": compute} if loop is training else {}
    params = loop.TrainingParams(case.lr, 1, **settings)
    torch.manual_seed(0)
    loop.fit(model, train, case.resident[:1], params, generator, marking)
    first = int(WARM * len(marks))
    share = (len(marks) - 1 - first) / len(marks)
    return share * case.frames / (marks[-1] - marks[first])


def shares(case: Case, train: Batches) -> dict[str, float]:
    """Of the time of a pass by the clock: model, optimizer, and all the rest, data among it."""
    spent: dict[str, float] = {}
    model, generator = copy.deepcopy(case.start), torch.Generator().manual_seed(0)
    with timed(spent):
        start = time.perf_counter()
        training.fit(model, train, case.resident[:1], TrainingParams(case.lr, 1), generator)
        total = time.perf_counter() - start
    found = {part: seconds / total for part, seconds in spent.items()}
    return found | {"rest": 1 - sum(found.values())}


def share_training(case: Case) -> None:
    """What each process of torchrun does: a pass, and the first says how fast by the clock."""
    with process_group(PLAIN):
        found = rate(case, case.resident, clock=time.perf_counter)
        if is_main_process():
            print(f"frames per second: {found}")


def shared_rate(processes: int) -> float:
    """Frames per second of so many processes, one thread each."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launch, __file__, "--process"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(output.split("frames per second: ")[1].split()[0])


def read_rate(stream: BatchStream, frames: int) -> float:
    """Frames per second of the processor that come from disk as batches, with nobody to train."""
    start = time.process_time()
    for _ in stream:
        pass
    return frames / (time.process_time() - start)


def page(case: Case, before: str | None) -> str:
    """All tables."""
    ways: dict[str, Callable[[], float]] = {"resident": lambda: rate(case, case.resident)}
    if before:
        loop = loop_of(before)
        ways[f"resident, loop of {before}"] = lambda: rate(case, case.resident, loop=loop)
    ways["streamed"] = lambda: rate(case, case.streamed)
    ways["resident, bfloat16"] = lambda: rate(case, case.resident, HALF)
    ways["resident, compiled"] = lambda: rate(case, case.resident, COMPILED)
    ways["reading the stream alone"] = lambda: read_rate(case.streamed, case.frames)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    parts: dict[str, list[dict[str, float]]] = {"resident": [], "streamed": []}
    for _ in range(REPEATS):
        for name, way in ways.items():
            rates[name].append(way())
        for name, train in (("resident", case.resident), ("streamed", case.streamed)):
            parts[name].append(shares(case, train))
    shared: dict[int, list[float]] = {processes: [] for processes in (1, 2)}
    for _ in range(SHARED_REPEATS):
        for processes, found in shared.items():
            found.append(shared_rate(processes))
    return training_page(case, rates, parts, shared)


def training_page(
    case: Case,
    rates: dict[str, list[float]],
    parts: dict[str, list[dict[str, float]]],
    shared: dict[int, list[float]],
) -> str:
    """What was measured, as text."""
    plain = rates["resident"]
    blocks = len(case.streamed.stream.blocks)
    lines = [
        "# What a step of training costs",
        "",
        "By `PYTHONPATH=src .venv/bin/python benchmarks/training.py --before COMMIT --write`, one",
        f"thread, torch {torch.__version__}; medians of {REPEATS} passes over",
        f"{case.frames:,} frames in {len(case.resident)} batches, ways taking turns; ratios",
        f"are of passes side by side, with their range. Streamed: {blocks} blocks, for",
        f"`memory_gib` {STREAM_GIB:g}.",
        "",
        "| | frames per second of the processor | of resident |",
        "|---|---|---|",
    ]
    for name, found in rates.items():
        ratios = np.array(found) / plain
        of = f"{np.median(ratios):.2f} [{ratios.min():.2f}, {ratios.max():.2f}]"
        lines.append(f"| {name} | {np.median(found):,.0f} | {of} |")
    lines += ["", "| share of a pass by the clock | model | optimizer | all else, data among it |"]
    lines += ["|---|---|---|---|"]
    for name, passes in parts.items():
        cells = [f"{np.median([of[part] for of in passes]):.1%}" for part in passes[0]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ratios = np.array(shared[2]) / shared[1]
    lines += [
        "",
        "By the clock, so with all else that the machine does:"
        f" {np.median(shared[1]):,.0f} frames per second with one process of `torchrun`,"
        f" {np.median(shared[2]):,.0f} with two,"
        f" {np.median(ratios):.2f} [{ratios.min():.2f}, {ratios.max():.2f}] times as many.",
        "",
        f"Machine: {', '.join(f'{value:,.0f} ({name})' for name, value in limits().items())}.",
        "",
        *training_memory.section(),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", help="a commit, whose training loop is timed too")
    parser.add_argument("--write", action="store_true", help=f"also to {PAGE}")
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        case = read_case(load_params())
        if options.process:
            share_training(case)
            return
        text = page(case, options.before)
    except (InputError, FileNotFoundError) as error:
        sys.exit(f"training: error: {error}")
    print(text)
    if options.write:
        write_page(PAGE, text)


if __name__ == "__main__":
    main()
