r"""States of other kinds, sizes and budgets than bet 2 chose among, by what it chooses by.

Trains states and shows what each is worth on validation, by which `bet2_study` chooses, beside the
state that the study chose, trained anew here. Nothing of test is shown.

    PYTHONPATH=src .venv/bin/python benchmarks/states.py
    PYTHONPATH=src .venv/bin/python benchmarks/states.py --kinds two_speeds --dims 16 --budgets 8

Reads data/latents/, models/normalizer.safetensors and metrics/detail/bet2_study.json. Prints a
table and keeps it in runs/states/; --write makes docs/explanation/states.md of all tables that are
there. A state takes two minutes on two idle cores.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

import torch

from machine import measured_today
from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import require, write_text
from mimi_dynamics.pipeline.params import Params, StateKind, load_params
from mimi_dynamics.studies.rssm.bet import trial, validation_of
from mimi_dynamics.studies.rssm.sweep import RAW, Sweep
from mimi_dynamics.studies.rssm.training import RssmJob

COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/states.py"
PAGE = Path("docs/explanation/states.md")
STUDY = Path("metrics/detail/bet2_study.json")
TABLES = Path("runs/states")  # one of each choice of states
Model = tuple[StateKind, int, float]


def main() -> None:
    """Train, print the table and keep it, and with --write make the page."""
    kinds = get_args(StateKind)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=("contrast", "two_speeds"))
    parser.add_argument("--dims", nargs="+", type=int, default=(8, 16, 32))
    parser.add_argument("--budgets", nargs="+", type=positive, default=(4.0, 16.0))
    parser.add_argument("--write", action="store_true", help=f"also to {PAGE}")
    arguments = parser.parse_args()
    models = list(product(arguments.kinds, arguments.dims, arguments.budgets))
    try:
        text = "\n".join(table(load_params(), models)) + "\n"
    except (InputError, FileNotFoundError) as error:
        sys.exit(f"states: error: {error}")
    print(text)
    chosen = arguments.kinds, arguments.dims, arguments.budgets
    write_text(TABLES / f"{'-'.join('_'.join(map(str, of)) for of in chosen)}.md", text)
    if arguments.write:
        made = [path.read_text(encoding="utf-8") for path in sorted(TABLES.glob("*.md"))]
        write_text(PAGE, page(made))


def positive(text: str) -> float:
    """Give a number of nats."""
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"{text}: must be more than 0")
    return value


def page(tables: list[str]) -> str:
    """All tables, under what they have in common."""
    return f"""# States that bet 2 did not choose among

On validation, with one training of each, as [bet 2](bet2.md) chooses its state; the state that it
chose is in every table, trained anew. *filter*, *leads* and *recursive* are the kinds of bet 2, at
budgets that it does not try. *contrast* must find the frames 1, 2 and 4 steps ahead among others
(InfoNCE), where *leads* must give their likelihood. Of *two_speeds*, one half is held for 4 frames:
on three frames of four it has no dynamic ease to give. Where frames are shuffled, whitening turns
its halves together, which makes the reference harder and the difference larger. No verdict rests
on this page.

{chr(10).join(tables)}"""


def table(params: Params, models: list[Model]) -> Iterator[str]:
    """Yield the lines of a table, with how it was made."""
    study = json.loads(require(STUDY, "bet2_study").read_text(encoding="utf-8"))
    _, normalizer, data = load(params)
    chosen = model_named(study, params, data)
    scale = torch.from_numpy(normalizer.scale).float()
    sweep = trial(params, data, scale, list(dict.fromkeys([chosen, *models])), {})
    yield f"{measured_today()} By `{' '.join([COMMAND, *sys.argv[1:]])}`:"
    yield ""
    yield "| state | dynamic ease | over raw x | R² of x read from it | sufficiency | collapsed |"
    yield "|---|--:|--:|--:|--:|---|"
    yield from rows(sweep, study["chosen"])


def rows(sweep: Sweep, chosen: str) -> Iterator[str]:
    """Yield a row for each state, the one of most dynamic ease first, and raw x at the end."""
    found = {name: validation_of(sweep, name) for name in (*sweep.jobs, RAW)}
    raw = found.pop(RAW)
    floor = number(raw, "dynamic_ease")
    for name in sorted(found, key=lambda name: -number(found[name], "dynamic_ease")):
        of = found[name]
        title = f"`{name}`, which the study chose" if name == chosen else f"`{name}`"
        ease = number(of, "dynamic_ease")
        yield (
            f"| {title} | {ease:.3f} | {ease - floor:+.3f} | {number(of, 'fidelity_r2'):.3f} "
            f"| {number(of, 'sufficiency'):.3f} | {'yes' if of['collapsed'] else 'no'} |"
        )
    yield f"| raw x | {floor:.3f} | | | | |"


def number(of: dict[str, Any], name: str) -> float:
    """Give a figure of validation."""
    return float(of[f"validation_{name}"])


def model_named(study: dict[str, Any], params: Params, data: Sequences) -> Model:
    """Give kind, size and budget of the state that the study chose.

    Raises:
        InputError: it is none that the study's settings name.
    """
    settings = study["settings"]["bet2_study"]
    tried = {name: settings[name].split(",") for name in ("kinds", "state_dims", "budgets")}
    for kind, dim, budget in product(tried["kinds"], tried["state_dims"], tried["budgets"]):
        model: Model = kind, int(dim), float(budget)
        job = RssmJob(data, model[1], model[2], params.rssm, 1, params.seed, kind=kind)
        if job.name == study["chosen"]:
            return model
    raise InputError(f"{STUDY}: chose {study['chosen']!r}, which is none of its settings")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
