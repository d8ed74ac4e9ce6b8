r"""What a lookup memory costs, by the size of its tables, what it can find, and whether it helps.

Times are of the processor on one thread, the fastest of several, sizes taking turns: on a machine
with other work they vary less than the clock's.

    PYTHONPATH=src .venv/bin/python benchmarks/engram_cost.py

Reads data/latents/, models/normalizer.safetensors and, of the study `bet3_study`,
metrics/detail/bet3_study.json.
Prints a page, which --write keeps as docs/explanation/engram.md. Takes 2 minutes.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from machine import page_command
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.params import EngramParams, Params, load_params
from mimi_dynamics.report.studies import origin_sentence
from mimi_dynamics.studies.engram.memory import ORDERS
from mimi_dynamics.studies.engram.model import Shape, build, make_optimizers, trunk_of
from mimi_dynamics.studies.engram.study import Subject
from mimi_dynamics.studies.engram.subjects import make_shape, make_subject
from motifs import table_lines

ROWS = tuple(2**power for power in range(12, 23, 2))  # of all tables together
KEYS = 4096  # with few, however large the tables are, few rows are ever read
REPEATS = 15
PAGE = Path("docs/explanation/engram.md")
STUDY = Path("metrics/detail/bet3_study.json")
SUBJECTS = {"raw": "x", "z_dyn": "z_dyn"}
HELPS = {
    "help": "as many parameters in width",
    "help_over_none": "no memory",
    "help_over_one_row": "the same tables, one row of each",
    "help_over_shuffled_keys": "the same tables, keys shuffled",
}
STUDY_WORDS = (
    "By the study `bet3_study`, a frozen stage, which `make studies` runs again. It plants\n"
    "motifs into the state z_dyn: after each chosen n-gram of keys, the next frame is shifted\n"
    "by a vector that belongs to that n-gram."
)
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
        trunk_of(model).its_memory(keys, hidden)


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


def interval(metrics: Mapping[str, Any], key: str) -> str:
    """A number with its interval."""
    low, high = metrics[f"{key}_ci_low"], metrics[f"{key}_ci_high"]
    return f"{metrics[key]:+.3f} [{low:+.3f}, {high:+.3f}]"


def study_lines() -> list[str]:
    """What the study has found so far."""
    if not STUDY.exists():
        return ["", "The study `bet3_study`, by which bet 3 is judged, has not been run yet."]
    study = json.loads(STUDY.read_text(encoding="utf-8"))
    subjects = [of for of in SUBJECTS if of in study]
    lines = ["", "## What it can find, and what it finds", "", STUDY_WORDS]
    lines += [origin_sentence(study, load_params()), ""]
    lines += sweep_lines(study["sweep"], study["chosen"])
    if "planted" in study:
        lines += ["", *power_lines(study["planted"])]
    for of in subjects:
        lines += ["", *real_lines(study[of], SUBJECTS[of])]
    missing = [name for of, name in SUBJECTS.items() if of not in study]
    if missing:
        lines += ["", f"Not trained yet: {', '.join(missing)} as they are."]
    return lines


def sweep_lines(sweep: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[str]:
    """What was found with every setting, on validation."""
    lines = ["The settings were chosen one after the other, on one planting. Each is the one with"]
    lines += [
        "the most help on validation, in nats per frame, over a wider network of the same size:"
    ]
    lines += [""]
    lines += ["| setting | value | help | over no memory | keys in a motif | frames after one |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, values in sweep.items():
        for value, of in values.items():
            text = value[1:].replace("_", ".")
            told = f"**{text}**" if str(chosen[name]) == text else text
            if of["can_be_planted"]:
                cells = [f"{of['help_nats_per_frame']:+.3f}"]
                cells += [f"{of['help_over_none_nats_per_frame']:+.3f}", str(of["keys_in_a_motif"])]
                cells += [f"{100 * of['motif_share']:.0f} %"]
            else:
                cells = ["no n-gram comes often enough to plant as much", "", "", ""]
            lines.append(f"| `{name}` | {told} | {' | '.join(cells)} |")
    return lines


def power_lines(planted: Mapping[str, Any]) -> list[str]:
    """How many plantings were found on test, and where."""
    lines = ["With these settings, what is found on test of motifs of each worth:", ""]
    lines += ["| worth, nats a frame | found | help over a wider network of the same size |"]
    lines += ["|---|---|---|"]
    for name, of in planted.items():
        every = [value for key, value in of.items() if key.startswith("p")]
        times = round(of["found_share"] * len(every))
        helps = ", ".join(f"{one['help_nats_per_frame']:+.3f}" for one in every)
        worth = name[1:].replace("_", ".")
        lines.append(f"| {worth} | {times} of {len(every)} | {helps} |")
    lines += [
        "",
        "The same by how often the last three keys occur in train, as a mean over plantings:",
        "",
    ]
    lines += [f"| worth | {' | '.join(BUCKETS.values())} |", "|---|---|---|---|---|"]
    for name, of in planted.items():
        counts = [value["by_count"] for key, value in of.items() if key.startswith("p")]
        cells = []
        for bucket in BUCKETS:
            found = [one[bucket]["help_nats_per_frame"] for one in counts if bucket in one]
            cells.append(f"{sum(found) / len(found):+.3f}" if found else "")
        lines.append(f"| {name[1:].replace('_', '.')} | {' | '.join(cells)} |")
    return lines


def real_lines(found: Mapping[str, Any], name: str) -> list[str]:
    """What the memory adds to data as they are."""
    trainings = found["help_nats_per_frame_trainings"]
    lines = [
        f"Help on {name} as it is, over {trainings} paired trainings, in nats per frame on test:",
        "",
    ]
    lines += ["| against | help |", "|---|---|"]
    for key, label in HELPS.items():
        lines.append(f"| {label} | {interval(found, f'{key}_nats_per_frame')} |")
    lines += ["", "Twice the width, without a memory, gains"]
    lines += [f"{interval(found, 'doubling_gain_nats_per_frame')}.", ""]
    lines += ["| times that the last three keys occur in train | share of frames | help |"]
    lines += ["|---|---|---|"]
    for key, label in BUCKETS.items():
        if key in found["by_count"]:
            of = found["by_count"][key]
            share = f"{100 * of['share']:.0f} %"
            lines.append(f"| {label} | {share} | {interval(of, 'help_nats_per_frame')} |")
    return lines


def motif_lines(params: Params) -> list[str]:
    """What tables find of motifs in white noise, with the words around it."""
    return [
        "`PYTHONPATH=src .venv/bin/python benchmarks/motifs.py` plants motifs into white noise,",
        "after n-grams of the state z_dyn, so that there is nothing else to learn, and trains no",
        "other network. *Worth* is what can be learned on train, in nats per frame. The other",
        "columns say what is found on validation: first by the mean frame after each n-gram, with",
        "the best shrinkage, once with the plane and the size of the shifts known and once with",
        "both estimated from the data; then by the memory, for several sizes of its tables (heads",
        "× rows × features) and learning rates of them (in units of `engram.lr`).",
        "",
        *table_lines(params),
    ]


def page(params: Params) -> str:
    """All of docs/explanation/engram.md."""
    lines = [
        "# The memory: what it costs, what it can find, and what it finds",
        "",
        "Written by `PYTHONPATH=src .venv/bin/python benchmarks/engram_cost.py --write`, on one",
        f"core with torch {torch.__version__}. Times are of the processor, for a batch of real",
        f"frames x with random keys out of {KEYS:,}. The cost of a prediction and of a training",
        "step is a multiple of that without a memory: for the small models of the stage `engram`,",
        "and for large ones with the head and the width of the stage `predict`.",
        "",
        *cost_lines(params),
        "",
        "## What tables alone can find",
        "",
        *motif_lines(params),
        *study_lines(),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    page_command(__doc__, PAGE, lambda: page(load_params()))


if __name__ == "__main__":
    main()
