r"""What CALM, our pipeline and the plain predictor cost in time and memory, on one core.

Generates with all of them: with CALM by both recipes that bet 4 may be judged by, as large as ours,
and without training, for what a frame costs does not depend on the weights. Times are of the
processor, not of the clock: on a machine with other work they vary less.

    PYTHONPATH=src .venv/bin/python benchmarks/calm_cost.py

Reads what stage `calm` reads, and results of `bet4_study`, `bet4_other` and `calm_study`.
Prints a page, which --write keeps as docs/explanation/calm.md with its figure. Takes 1 minute.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from machine import page_command
from mimi_dynamics.density.predictor import load_predictor, make_conditional, make_marginal
from mimi_dynamics.density.var import Var
from mimi_dynamics.figures.bet4_study import NAMES, bet_lines
from mimi_dynamics.figures.calm_study import study_figure, study_lines
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.generation.rollouts import Past, Starts, read_past, roll_out
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.files import require_predictor
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.report.studies import origin_sentence, todays_origin
from mimi_dynamics.studies.calm.bet import sampled
from mimi_dynamics.studies.calm.comparison import our_jobs, our_parameters
from mimi_dynamics.studies.calm.contenders import JUDGED, RECIPES, recipe_shape
from mimi_dynamics.studies.calm.factorised import known_states
from mimi_dynamics.studies.calm.flops import frame_flops, network_evaluations
from mimi_dynamics.studies.calm.inputs import read_factorisation
from mimi_dynamics.studies.calm.model import make_calm, matched, moments, parameters_of
from mimi_dynamics.studies.codec_row.subjects import weights_of

STREAMS = (1, 64)
FRAMES = 32  # generated for a timing, after as many of prompt
REPEATS = 3  # of which the fastest counts
PAGE = Path("docs/explanation/calm.md")
STUDY, FIGURE = Path("plots/calm_study.csv"), Path("plots/calm_study.png")


@dataclass(frozen=True)
class Contender:
    """What generates.

    Attributes:
        label: its name on the page.
        head: the kind of its head.
        generator: the model.
    """

    label: str
    head: str
    generator: Generator


def contenders(params: Params) -> list[Contender]:
    """Make CALM by those recipes and ours, as large as in the study, and load the predictor."""
    factorisation, data = read_factorisation(), load(params).sequences
    size = our_parameters(params, factorisation.model)
    found = []
    for recipe in JUDGED:
        shape = matched(recipe_shape(params, data.dim, recipe), size)
        generator = Generator(make_calm(shape, *moments(data)).eval(), data)
        for steps in RECIPES[recipe].steps:
            label = f"CALM, {recipe}, {steps} step{'s' if steps > 1 else ''}"
            found.append(Contender(label, recipe, sampled(generator, steps, 1.0)))
    dim, order = factorisation.model.shape.state_dim, params.predict.var_order
    var = Var(torch.zeros(order, dim, dim), torch.zeros(dim), torch.eye(dim))
    width = params.calm.dynamics_width
    marginal = make_marginal(var, params.head, width, params.predict.components)
    dynamics = make_conditional(marginal, var, width, 0.0).eval()
    known = known_states(factorisation.model, our_jobs(params, data, factorisation)[0])
    ours = Generator(dynamics, known, factorisation.model)
    step, info = load_predictor(require_predictor(NEXT_FRAME))
    return [
        *found,
        Contender("z_dyn, z_rec, x", params.head, ours),
        Contender("plain predictor", info["head"], Generator(step, data)),
    ]


def cpu_seconds(work: Callable[[], object]) -> float:
    """Seconds that the processor takes for it."""
    start = time.process_time()
    work()
    return time.process_time() - start


def frames_per_second(generator: Generator, streams: int) -> tuple[float, Past]:
    """Generate from test clips that are long enough for a prompt; also what is known of it."""
    test = generator.known.select("test")
    clip = np.sort(np.resize(np.flatnonzero(test.lengths >= FRAMES), streams))
    starts = Starts(clip, np.full(streams, FRAMES), test.lengths[clip] - FRAMES)
    past, steps = read_past(generator.step, test, starts), np.full(streams, FRAMES)

    def run() -> None:
        generator.finish(roll_out(generator.step, past, steps, 1))

    return streams * FRAMES / min(cpu_seconds(run) for _ in range(REPEATS)), past


def table_row(contender: Contender) -> str:
    """What one contender costs."""
    generator = contender.generator
    parts = (generator.step, generator.render)
    modules = [part for part in parts if isinstance(part, nn.Module)]
    rates, past = zip(*(frames_per_second(generator, of) for of in STREAMS), strict=True)
    test = generator.known.select("test")
    start = Starts(np.array([0]), np.array([1]), test.lengths[:1] - 1)
    cells = [
        contender.label,
        f"{parameters_of(*modules):,}",
        f"{frame_flops(generator, start) / 1e6:.2f}",
        str(network_evaluations(generator, contender.head)),
        *(f"{rate:,.0f}" for rate in rates),
        f"{sum(part.numel() * 4 for part in past[0].state) / 1e3:.1f}",
        f"{sum(p.numel() * p.element_size() for m in modules for p in m.parameters()) / 1e6:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def page(params: Params) -> str:
    """All of docs/explanation/calm.md."""
    torch.manual_seed(0)
    lines = [
        "# CALM beside our pipeline: bet 4, time and memory, studies",
        "",
        "Written by `PYTHONPATH=src .venv/bin/python benchmarks/calm_cost.py --write`.",
        "",
        "## Bet 4",
        "",
        *bet_lines(read("bet4_study")),
        "",
        "LSD is after Pocket TTS, with two differences: its adaptive weight is a bounded function",
        "of both times and not a small network, and no gradient passes through the target. *No",
        "adaptive weight* is none of the recipes that bet 4 may be judged by. The study of",
        "stabilisers, below, led to it by scores on test, and consistency, which that study found",
        "better without its weight too, has no such row.",
        *other_section(params),
        "",
        "## A generated frame",
        "",
        f"On one of {os.cpu_count()} cores, in processor time, with torch {torch.__version__}.",
        f"Idle cores are faster; here, {os.getloadavg()[0]:.0f} processes were running or waiting.",
        "",
        "| | parameters | 10⁶ operations per frame | network passes per frame |"
        " frames per second, 1 stream | 64 streams | state of a stream, kB | weights, MB |",
        "|---|" + "---|" * 7,
        *(table_row(contender) for contender in contenders(params)),
        "",
        "Parameters and weights hold what only training needs. Real time is 12.5 frames per second",
        "for each stream; the codec's own work comes on top of it.",
        *study_section(params),
    ]
    return "\n".join(lines) + "\n"


def read(study: str) -> dict | None:
    """The content of the file of a study; None if it has not been run."""
    path = detail_path(study)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def other_section(params: Params) -> list[str]:
    """The tables of `bet4_other`, and which of today's settings it did not run under."""
    study = read("bet4_other")
    if study is None:
        return ["", *bet_lines(study, "bet4_other")]
    name = study["settings"]["bet4_other"]["codec"]
    weights = {"weights_sha256": weights_of(name, params)}
    return [
        "",
        f"### On latents of {name}",
        "",
        "No bet is judged by this. The state of ours has the size and budget that were chosen for",
        "the run's own latents. How far all contenders are from random frames of train is as",
        "telling here as how far they are apart.",
        origin_sentence(study, params, todays_origin() | weights),
        "",
        *bet_lines(study, "bet4_other"),
    ]


def study_section(params: Params) -> list[str]:
    """Figure and tables of `calm_study`, and which of today's settings it did not run under."""
    study = read("calm_study")
    if study is None:
        return ["", "The study `calm_study` has not been run."]
    return [
        "",
        "## Stabilisers, sizes, data",
        "",
        f"By the study `calm_study` (`make studies`; `{detail_path('calm_study')}`).",
        origin_sentence(study, params),
        "",
        f"CALM and ours were trained {study['trainings']} times as they are in bet 4, and once",
        "without each stabiliser: CALM with as many passes over train, ours with as many",
        "operations. Without its short context, CALM is wider, to have as many parameters. At",
        f"every size and on every share of the clips, CALM by {study['judged']} has as many",
        "parameters as ours and about as many operations; the plain predictor is what the stage",
        "`horizon` trains, with more parameters and fewer operations. Larger models take more",
        "operations, because passes are as many. Over fewer clips all make more passes, of",
        "which the table has those of CALM. How CALM is sampled is chosen on validation for",
        "every training. Scores are those of bet 4: the fair energy score of the first two",
        "frames on test.",
        "",
        f"![Stabilisers switched off, sizes, data](../../{FIGURE})",
        "",
        "Bars and brackets are 95 % intervals over clips, paired, and over trainings: as if",
        "single trainings varied as much as those of the unchanged contender, whose scores have",
        f"a standard deviation of {spreads_in_words(study['training_sd'])}. By chance, one",
        "interval in twenty leaves out zero. Which clips a share holds was chosen once.",
        "",
        *study_lines(study, pd.read_csv(STUDY)),
    ]


def spreads_in_words(sds: Mapping[str, float]) -> str:
    """List the standard deviations between trainings by contender."""
    return ", ".join(f"{sd:.3f} ({NAMES[row]})" for row, sd in sds.items())


def main() -> None:
    """The command."""
    torch.set_num_threads(1)
    if page_command(__doc__, PAGE, lambda: page(load_params())):
        save_figure(study_figure(pd.read_csv(STUDY)), FIGURE)


if __name__ == "__main__":
    main()
