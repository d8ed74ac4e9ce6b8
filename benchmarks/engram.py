r"""What a lookup memory costs, by the size of its tables, and the full study of whether it helps.

Times are of the processor on one thread, the fastest of several, sizes taking turns: on a machine
with other work they vary less than the clock's.

    PYTHONPATH=src .venv/bin/python benchmarks/engram.py

Reads data/latents/, models/normalizer.safetensors and, of the study `engram_study`,
metrics/detail/engram_study.json.
Prints a page, which --write keeps as docs/engram.md. Takes 2 minutes.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_text
from mimi_dynamics.pipeline.params import EngramParams, Params, load_params
from mimi_dynamics.pipeline.studies import changed_settings, study_settings
from mimi_dynamics.studies.engram.comparison import SECTIONS, study_params
from mimi_dynamics.studies.engram.memory import ORDERS
from mimi_dynamics.studies.engram.model import Shape, build, make_optimizers
from mimi_dynamics.studies.engram.study import Subject
from mimi_dynamics.studies.engram.subjects import make_shape, make_subject

ROWS = tuple(2**power for power in range(12, 23, 2))  # of all tables together
KEYS = 4096  # with few, however large the tables are, few rows are ever read
REPEATS = 15
STUDY = Path("metrics/detail/engram_study.json")
SUBJECTS = {"raw": "x", "z_dyn": "z_dyn"}
HELPS = {
    "help": "as many parameters in width",
    "help_over_iso_flop": "as many operations in width",
    "help_over_none": "no memory",
    "help_over_one_row": "the same tables, one row of each",
    "help_over_shuffled_keys": "the same tables, keys shuffled",
}
BUCKETS = {"never": "never", "to3": "1 to 3", "to15": "4 to 15", "more": "16 or more"}


def cpu_seconds(work: Callable[[], object]) -> float:
    """What it took of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def fastest(works: list[Callable[[], object]]) -> list[float]:
    """Of each, taking turns."""
    for work in works:
        work()
    rounds = [[cpu_seconds(work) for work in works] for _ in range(REPEATS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def subject_and_shape(params: Params) -> tuple[Subject, Shape]:
    """Raw x with its keys, as stage `engram` has them, and models that know more keys."""
    latents, _, data = load(params)
    subject = make_subject("raw", data, latents.codes[:, 0], params)
    return subject, replace(make_shape(subject, params), keys=KEYS)


def scattered(batch: Batch, keys: int) -> Batch:
    """The same frames with random keys, so that lookups go all over the tables."""
    context = batch.context.clone()
    context[..., -1] = torch.randint(0, keys, context.shape[:2])
    return batch._replace(context=context)


def read(model: Predictor, keys: Tensor, hidden: Tensor) -> None:
    """One reading of the memory."""
    with torch.no_grad():
        model.trunk.memory(keys, hidden)


def step(model: Predictor, batch: Batch, optimizers: list[torch.optim.Optimizer]) -> None:
    """One step of training."""
    loss = model(batch).mean()
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()


def forward(model: Predictor, batch: Batch) -> None:
    """Densities of a batch."""
    with torch.no_grad():
        model(batch)


def cost_lines(params: Params) -> list[str]:
    """Time of reading by the number of rows, and of predictors beside those without a memory."""
    subject, shape = subject_and_shape(params)
    batch = scattered(subject.batches("train")[0], KEYS)
    reads = read_seconds(shape, batch)
    as_stage, as_predictor = (
        shares_of_work(replace(shape, settings=settings), batch)
        for settings in (shape.settings, large(params))
    )
    frames = batch.context.shape[:2].numel()
    lines = [
        "| rows | MB | reads a second | of those at 2^12 | prediction | training step |"
        " prediction, large | training step, large |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, rows in enumerate(ROWS):
        cells = [f"{frames / reads[number]:,.0f}", f"{reads[0] / reads[number]:.2f}"]
        cells += [f"{ratio:.2f}" for ratio in (*as_stage[number], *as_predictor[number])]
        megabytes = rows * shape.settings.row_dim * 4 / 1e6
        lines.append(f"| 2^{rows.bit_length() - 1} | {megabytes:.1f} | {' | '.join(cells)} |")
    return lines


def large(params: Params) -> EngramParams:
    """The head and the width of stage `predict`."""
    return params.engram.model_copy(update={"head": params.head, "width": params.predict.width})


def with_rows(shape: Shape) -> list[Predictor]:
    """A model with a memory of every size."""
    width, tables = shape.settings.width, len(ORDERS) * shape.settings.heads
    return [build(shape.with_rows(rows // tables), "engram", width, 0) for rows in ROWS]


def read_seconds(shape: Shape, batch: Batch) -> list[float]:
    """Of one reading of the memory at every frame of a batch, by number of rows."""
    keys = batch.context[..., -1].long()
    hidden = torch.randn(*keys.shape, shape.settings.width)
    return fastest([partial(read, model, keys, hidden) for model in with_rows(shape)])


def shares_of_work(shape: Shape, batch: Batch) -> list[tuple[float, float]]:
    """Prediction and training step, as multiples of those without memory, by number of rows."""
    settings = shape.settings
    models = [build(shape, "none", settings.width, 0), *with_rows(shape)]
    optimizers = [make_optimizers(m, settings.lr, settings.table_lr) for m in models]
    plain, *forwards = fastest([partial(forward, model, batch) for model in models])
    plain_step, *steps = fastest(
        [partial(step, m, batch, o) for m, o in zip(models, optimizers, strict=True)]
    )
    return [(f / plain, s / plain_step) for f, s in zip(forwards, steps, strict=True)]


def interval(metrics: dict, key: str) -> str:
    """A number with its interval."""
    low, high = metrics[f"{key}_ci_low"], metrics[f"{key}_ci_high"]
    return f"{metrics[key]:+.3f} [{low:+.3f}, {high:+.3f}]"


def study_lines(params: Params) -> list[str]:
    """The full study."""
    study = json.loads(STUDY.read_text(encoding="utf-8"))
    settings = study["settings"]
    seeds = settings["engram_study"]["seeds"]
    lines = ["", f"## Does it help? {seeds} trainings of each", ""]
    lines += ["By the study `engram_study`, a frozen stage, which `make studies` runs anew."]
    lines += [
        settings_sentence(
            changed_settings(settings, study_settings(study_params(params), SECTIONS))
        ),
        "",
    ]
    lines += ["NLL of each control minus that with the memory, nats per frame on test:", ""]
    lines += ["| against | x | z_dyn |", "|---|---|---|"]
    for key, label in HELPS.items():
        cells = [interval(study[of], f"{key}_nats_per_frame") for of in SUBJECTS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    lines += ["", "Against as many parameters, by how often train had the last three keys:", ""]
    lines += ["| times | x | z_dyn |", "|---|---|---|"]
    for key, label in BUCKETS.items():
        cells = [interval(study[of]["by_count"][key], "help_nats_per_frame") for of in SUBJECTS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    lines += ["", "Of as many parameters on z_dyn, a share in tables:", ""]
    lines += ["| share | NLL, nats per frame | width | rows of a table |", "|---|---|---|---|"]
    for key, of_share in study["z_dyn"]["by_table_share"].items():
        nll = interval(of_share, "nll_nats_per_frame").replace("+", "")
        lines.append(f"| {int(key[1:])} % | {nll} | {of_share['width']} | {of_share['rows']} |")
    return lines


def settings_sentence(changed: list[str]) -> str:
    """Which settings the study had that are others today."""
    if not changed:
        return f"Its file records its settings, which on {date.today()} were those of the stage."
    listed = ", ".join(f"`{change}`" for change in changed)
    return f"Its file records its settings; other than on {date.today()} were {listed}."


def page(params: Params) -> str:
    """All of docs/engram.md."""
    lines = [
        "# The memory: what it costs, and the full study",
        "",
        "By `PYTHONPATH=src .venv/bin/python benchmarks/engram.py --write`, on one core, in time",
        f"of the processor; torch {torch.__version__}. A batch of real frames x with random keys",
        f"out of {KEYS:,}. Prediction and training step: as multiples of those without a memory,",
        "for the small models of stage `engram`, and for large ones, with head and width of stage",
        "`predict`.",
        "",
        *cost_lines(params),
        *study_lines(params),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="also to docs/engram.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        text = page(load_params())
    except (InputError, FileNotFoundError) as error:
        sys.exit(f"engram: error: {error}")
    print(text)
    if options.write:
        write_text(Path("docs/engram.md"), text)


if __name__ == "__main__":
    main()
