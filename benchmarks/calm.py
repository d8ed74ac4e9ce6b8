r"""What CALM, our pipeline and the plain predictor cost in time and memory, on one core.

Trains CALM and the dynamics of z_dyn again as stage `calm` does, one after the other on one thread,
and generates with all three. Times are of the processor, not of the clock: on a machine with other
work they vary less. The time to an equal score is the training time in proportion to operations.

    PYTHONPATH=src .venv/bin/python benchmarks/calm.py

Reads what stage `calm` reads, metrics/detail/calm.json, and results of the study `calm_study`.
Prints a page, which --write keeps as docs/explanation/calm.md with its figure. Takes 6 minutes.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from machine import write_page
from mimi_dynamics.density.predictor import load_predictor
from mimi_dynamics.figures.calm_study import LABELS, study_figure, study_lines
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.generation.rollouts import Past, Starts, read_past, roll_out
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import require_predictor
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.pipeline.studies import changed_settings, study_settings
from mimi_dynamics.studies.calm.comparison import training_jobs
from mimi_dynamics.studies.calm.inputs import Factorisation, read_factorisation
from mimi_dynamics.studies.calm.study import SECTIONS, study_params
from mimi_dynamics.studies.calm.training import Trained
from mimi_dynamics.studies.rssm.training import RssmJob, train_rssm

STREAMS = (1, 64)
FRAMES = 32  # generated for a timing, after as many of prompt
REPEATS = 3  # of which the fastest counts
STUDY, FIGURE = Path("plots/calm_study.csv"), Path("plots/calm_study.png")
STUDY_METRICS = Path("metrics/detail/calm_study.json")


@dataclass(frozen=True)
class Speed:
    """Of generation, on one core.

    Attributes:
        frames_per_second: by number of streams.
        state_bytes: of one stream: what is remembered from frame to frame.
        weight_bytes: of the model, with what only its training needs.
    """

    frames_per_second: dict[int, float]
    state_bytes: int
    weight_bytes: int


def cpu_seconds(work: Callable[[], object]) -> tuple[object, float]:
    """What it gives, and what it took of the processor."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def speed(generator: Generator) -> Speed:
    """Generate from test clips that are long enough for a prompt."""
    test = generator.known.select("test")
    clips = np.flatnonzero(test.lengths >= FRAMES)
    rates = {}
    for streams in STREAMS:
        clip = np.sort(np.resize(clips, streams))
        starts = Starts(clip, np.full(streams, FRAMES), test.lengths[clip] - FRAMES)
        past = read_past(generator.step, test, starts)
        steps = np.full(streams, FRAMES)
        seconds = min(
            cpu_seconds(lambda p=past, s=steps: run(generator, p, s))[1] for _ in range(REPEATS)
        )
        rates[streams] = streams * FRAMES / seconds
    row = past.rows(slice(0, 1))
    modules = [generator.step, *([generator.render] if generator.render else [])]
    weights = sum(p.numel() * p.element_size() for m in modules for p in m.parameters())
    return Speed(rates, sum(part.numel() * 4 for part in row.state), weights)


def run(generator: Generator, past: Past, steps: np.ndarray) -> None:
    """All frames of all streams."""
    generator.finish(roll_out(generator.step, past, steps, 1))


def train_all(params: Params, factorisation: Factorisation) -> dict[str, tuple[Trained, float]]:
    """CALM, and ours with its factorisation, which is trained here only to be timed."""
    data = load(params).sequences
    params = params.model_copy(update={"calm": params.calm.model_copy(update={"seeds": 1})})
    calm, ours = training_jobs(params, data, factorisation)
    found = {"calm": cpu_seconds(calm)}
    shape = factorisation.model.shape
    job = RssmJob(
        data, shape.state_dim, factorisation.budget, params.rssm, params.predict.min_steps, 0
    )
    _, before = cpu_seconds(lambda: train_rssm(job))
    trained, seconds = cpu_seconds(ours)
    return found | {"ours": (trained, before + seconds)}


def page(params: Params) -> str:
    """All of docs/explanation/calm.md."""
    metrics = json.loads(Path("metrics/detail/calm.json").read_text())
    trained = train_all(params, read_factorisation())
    step, _ = load_predictor(require_predictor(NEXT_FRAME))
    generators = {name: found.generator for name, (found, _) in trained.items()}
    generators["predictor"] = Generator(step, generators["calm"].known)
    seconds = {name: spent for name, (_, spent) in trained.items()}
    rows = [table_row(n, metrics[n], speed(g), seconds.get(n)) for n, g in generators.items()]
    ratio = metrics["ratio"]
    key = "train_flops_to_equal_energy_score"
    each = seconds["ours"] / metrics["ours"]["train_flops"]
    each /= seconds["calm"] / metrics["calm"]["train_flops"]
    lines = [
        "# CALM beside our pipeline: time, memory, studies",
        "",
        "By `PYTHONPATH=src .venv/bin/python benchmarks/calm.py --write`, on one core, in seconds",
        f"of the processor; torch {torch.__version__}. What does not depend on a clock is in",
        "`metrics/detail/calm.json`.",
        "",
        "| | parameters | training, s | training, TFLOP | network passes per frame |"
        " frames per second, 1 stream | 64 streams | state of a stream, kB | weights, MB |",
        "|---|" + "---|" * 8,
        *rows,
        "",
        "The plain predictor is trained by stage `horizon`, and not timed here. Real time is 12.5",
        "frames per second for each stream; the codec's own work comes on top of it.",
        "",
        f"To the worse of both best scores, ours takes {ratio[key]:.2f}"
        f" [{ratio[key + '_ci_low']:.2f}, {ratio[key + '_ci_high']:.2f}] times the operations of"
        " CALM,",
        f"and {ratio[key] * each:.2f} times its seconds.",
        *study_section(params),
    ]
    return "\n".join(lines) + "\n"


def table_row(name: str, metrics: dict, measured: Speed, seconds: float | None) -> str:
    """One contender."""
    rates = [f"{measured.frames_per_second[streams]:,.0f}" for streams in STREAMS]
    cells = [
        LABELS[name],
        f"{metrics['params']:,}",
        "" if seconds is None else f"{seconds:.0f}",
        f"{metrics['train_flops'] / 1e12:.2f}",
        str(metrics["network_evaluations_per_frame"]),
        *rates,
        f"{measured.state_bytes / 1e3:.1f}",
        f"{measured.weight_bytes / 1e6:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def study_section(params: Params) -> list[str]:
    """Figure and tables of the study, and which of today's settings it did not run under."""
    study = json.loads(STUDY_METRICS.read_text())
    ratio = study["ratio"]
    both = [
        f"{name} {ratio[key]:.3f} [{ratio[key + '_ci_low']:.3f}, {ratio[key + '_ci_high']:.3f}]"
        for name, key in (
            ("energy score", "energy_score"),
            ("operations to the same score", "train_flops_to_equal_energy_score"),
        )
    ]
    return [
        "",
        "By the study `calm_study` (`make studies`), whose file records the settings it ran under.",
        settings_sentence(changed_settings(study["settings"], current_settings(params))),
        "",
        f"Ours / CALM over {study['trainings']} trainings of each (`{STUDY_METRICS}`):",
        f"{', '.join(both)}.",
        "",
        f"![Stabilisers switched off, sizes, data](../../{FIGURE})",
        "",
        "Bars: 95 % intervals of the difference to all of it, paired by clips.",
        *study_lines(pd.read_csv(STUDY)),
    ]


def current_settings(params: Params) -> dict[str, object]:
    """Settings under which the study would run today."""
    return study_settings(study_params(params), SECTIONS)


def settings_sentence(changed: list[str]) -> str:
    """Say which settings are others today than in the study."""
    if not changed:
        return "They are those of today."
    return f"Other than today were {', '.join(f'`{setting}`' for setting in changed)}."


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="also to docs/explanation/calm.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        text = page(load_params())
    except (InputError, FileNotFoundError) as error:
        sys.exit(f"calm: error: {error}")
    print(text)
    if options.write:
        write_page(Path("docs/explanation/calm.md"), text)
        save_figure(study_figure(pd.read_csv(STUDY)), FIGURE)


if __name__ == "__main__":
    main()
