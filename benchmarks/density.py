r"""Our densities of the next latent against those a user would pick instead, at equal time.

Every contender trains for the same time of one processor, one after the other, and is scored on the
same test frames: of the run's codec, or of log-mel frames. Rivals are the conditional densities of
zuko and sbi given the last 8 frames, each with the better on validation of two settings that get
the full time. Ours are what `mimi_dynamics.density.fit.fit_densities` fits, given all frames up to
now; their time includes the ridge VAR, the start that marginal and conditional share, the marginal
and the scoring. Time is that of the processor, so that other work on the machine takes none of it.

Rivals are no dependencies of the project, so the environment is its own. After `make install`:

    .venv/bin/uv venv --python .venv/bin/python benchmarks/.venv
    .venv/bin/uv pip install --python benchmarks/.venv/bin/python --constraint requirements.lock \
        --extra pipeline -r pyproject.toml -r benchmarks/requirements-density.txt
    PYTHONPATH=src benchmarks/.venv/bin/python benchmarks/density.py --latents log_mel --seconds 300

Reads data/latents/ and models/normalizer.safetensors, or data/manifest.parquet, and params.yaml.
Prints a table and keeps it in runs/density/; --write makes docs/explanation/density.md of all
tables that are there. With 75 seconds each it takes 20 minutes, with 300 it takes 80.
"""

import argparse
import importlib.metadata
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from machine import write_page
from mimi_dynamics.density.fit import Density, FitSpec, FittedDensity, fit_densities
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.gains import Scored, clip_bootstrap
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import require, write_text
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.studies.codec_row.subjects import RUN, codec_of, encode_anew
from rivals import BATCH, CONTEXT, LR, RIVALS, Rival, Windows, losses, train_rival

SECTIONS = Path("runs/density")  # a table of each kind of latents and each time
HEADS = ("flow", "mdn")
MOST_EPOCHS = 100
REFERENCE = "ours, flow"
LATENTS = {"codec": "the run's codec", "log_mel": "log-mel frames"}
PACKAGES = ("torch", "zuko", "sbi")


@dataclass(frozen=True)
class Result:
    """What a contender did with its time.

    Attributes:
        name: as in the table.
        settings: in a few words.
        nll: (scored,) nats per test frame.
        parameters: how many numbers it trained.
        seconds: of processor time.
    """

    name: str
    settings: str
    nll: np.ndarray
    parameters: int
    seconds: float


def run_floors(job: FitSpec) -> list[Result]:
    """The closed forms: a Gaussian without the past, and the ridge VAR."""
    fits, seconds = timed_fit(replace(job, head="var"))
    dim, order = job.sequences.dim, job.params.var_order
    gaussian = dim * (dim + 3) // 2
    return [
        Result("Gaussian marginal", "closed form", fits["marginal"].nll["test"], gaussian, seconds),
        Result(
            f"ridge VAR({order})",
            "closed form, penalty by validation",
            fits["conditional"].nll["test"],
            gaussian + order * dim**2,
            seconds,
        ),
    ]


def run_ours(job: FitSpec, seconds: float) -> list[Result]:
    """Our density with as many epochs as fit into the time, its settings as in `params.yaml`."""
    job = with_epochs(job, *affordable_epochs(job, seconds))
    fits, used = timed_fit(job)
    params, fitted = job.params, fits["conditional"]
    settings = (
        f"params.yaml, lr {params.lr:g}, epochs {params.pretrain_epochs} shared + {params.epochs}"
    )
    size = parameters(fitted.network)
    return [Result(f"ours, {job.head}", settings, fitted.nll["test"], size, used)]


def affordable_epochs(job: FitSpec, seconds: float) -> tuple[int, int]:
    """Shared epochs and epochs after those, in the ratio of `params.yaml`, that fit into the time.

    Three short fits tell what an epoch of either kind takes, and what all the rest does.
    """
    seconds_of = {plan: timed_fit(with_epochs(job, *plan))[1] for plan in ((1, 1), (2, 1), (1, 2))}
    shared = max(0.0, seconds_of[2, 1] - seconds_of[1, 1])
    after = max(0.0, seconds_of[1, 2] - seconds_of[1, 1])
    rest = seconds_of[1, 1] - shared - after
    ratio = job.params.pretrain_epochs / job.params.epochs
    plans = [(max(1, round(ratio * epochs)), epochs) for epochs in range(1, MOST_EPOCHS + 1)]
    fitting = [plan for plan in plans if rest + shared * plan[0] + after * plan[1] <= seconds]
    return fitting[-1] if fitting else plans[0]


def with_epochs(job: FitSpec, shared: int, after: int) -> FitSpec:
    """The same fit for another number of epochs."""
    update = {"pretrain_epochs": shared, "epochs": after, "min_steps": 1}
    return replace(job, params=job.params.model_copy(update=update))


def timed_fit(job: FitSpec) -> tuple[dict[Density, FittedDensity], float]:
    """The fitted densities, and the seconds of processor time."""
    start = time.process_time()
    return fit_densities(job), time.process_time() - start


def run_rival(job: FitSpec, rival: Rival, seconds: float) -> list[Result]:
    """A density of another library: the try that is best on validation."""
    splits = ("train", "validation", "test")
    train, validation, test = (Windows.of(job, split) for split in splits)
    log_scale = train.target.std(0).log().sum()
    validation, test = validation.standardised(train), test.standardised(train)
    train = train.standardised(train)
    torch.manual_seed(job.seed)
    tries = [train_rival(rival, options, train, validation, seconds) for options in rival.tries]
    best = min(tries, key=lambda trained: trained.validation_nll)
    nll = (losses(best.model, best.loss, test) + log_scale).numpy()
    return [Result(rival.name, best.settings, nll, parameters(best.model), best.seconds)]


def parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def run_all(job: FitSpec, seconds: float) -> list[Result]:
    """Every contender, one after the other."""
    runs: list[tuple[str, Callable[[], list[Result]]]] = [
        ("closed forms", partial(run_floors, job)),
        *((rival.name, partial(run_rival, job, rival, seconds)) for rival in RIVALS),
        *((head, partial(run_ours, replace(job, head=head), seconds)) for head in HEADS),
    ]
    results = []
    with tqdm(runs, disable=None) as progress:
        for name, run in progress:
            progress.set_description(name)
            results += run()
    return results


def table(results: list[Result], score: Callable[[np.ndarray], Estimate]) -> str:
    """Markdown, the best contender last.

    Args:
        results: of all contenders, `REFERENCE` among them.
        score: mean over test frames, in nats per dimension.
    """
    reference = next(score(result.nll) for result in results if result.name == REFERENCE)
    lines = [
        "| density | test NLL, nats/dim | behind ours | parameters | seconds | settings |",
        "|---|---|---|---|---|---|",
    ]
    for result in sorted(results, key=lambda result: -score(result.nll).value):
        nll = score(result.nll)
        behind = "" if result.name == REFERENCE else interval(nll - reference)
        lines.append(
            f"| {result.name} | {interval(nll)} | {behind} "
            f"| {result.parameters:,} | {result.seconds:.0f} | {result.settings} |"
        )
    return "\n".join(lines)


def interval(estimate: Estimate) -> str:
    """Value and 95 % interval."""
    value, low, high = estimate.metrics("nll").values()
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def section(name: str, job: FitSpec, seconds: float, results: list[Result]) -> str:
    """The table under what it was made from."""
    scored = {split: Scored.of(job, split) for split in ("train", "test")}
    clips = int((job.sequences.splits == "test").sum())
    draws = clip_bootstrap(job.sequences, "test", job.params.bootstrap_samples, job.seed)
    body = table(results, lambda nll: draws.mean(nll, scored["test"].clip) / job.sequences.dim)
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    return f"""## Latents of {LATENTS[name]}, {seconds:g} seconds each

{job.sequences.dim} dimensions, {len(scored["train"].clip):,} train frames, and
{len(scored["test"].clip):,} test frames of {clips} clips ({versions}).

{body}
"""


def page(sections: list[str]) -> str:
    """All tables, under what they have in common."""
    return f"""# Ours beside other densities

Negative log likelihood of the next latent, mean over the same test frames, with 95 % bootstrap
intervals over clips; behind ours = minus that of *{REFERENCE}*, paired. Each contender had the time
that is above its table, of one thread of the same processor, one after the other. Ours train for as
many whole epochs as should fit, so they take some seconds more or less; all times are in the table.

Rivals see the last {CONTEXT} frames, standardised, in batches of {BATCH}; AdamW with a peak
learning rate of {LR:g} after a warm-up, then a cosine over the time; the weights that validation
likes best. Each is trained twice for the whole time, with its library's defaults and as wide as
ours, and the better on validation is in the table. Ours see all frames up to now; their time
includes the ridge VAR, the start shared by marginal and conditional, the marginal, and the scoring.

`benchmarks/density.py` says how to run this.

{chr(10).join(sections)}"""


def read_job(name: str, params: Params) -> FitSpec:
    """The latents, and settings under which all contenders score the same frames.

    Args:
        name: a key of `LATENTS`.
        params: all settings.

    Raises:
        InputError: if the stages before have not been run, or a package is missing.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"{package}: not installed; benchmarks/density.py says how at its top")
    if name == RUN:
        for path in (Path("data/latents"), Path("models/normalizer.safetensors")):
            require(path, "normalize")
        sequences = load(params).sequences
    else:
        manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
        work = Path("runs/density/work")
        sequences = encode_anew(codec_of(name, params), manifest, params, work).sequences
    settings = params.predict.model_copy(update={"warmup_frames": CONTEXT, "var_order": CONTEXT})
    return FitSpec("real", sequences, HEADS[0], 1, settings, params.seed)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latents", choices=LATENTS, default=RUN, help="of what [codec]")
    parser.add_argument("--seconds", type=float, default=75, help="of training, each [75]")
    parser.add_argument("--write", action="store_true", help="to docs/explanation/density.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        job = read_job(options.latents, load_params())
    except InputError as error:
        sys.exit(f"density: error: {error}")
    text = section(options.latents, job, options.seconds, run_all(job, options.seconds))
    print(text)
    write_text(SECTIONS / f"{options.latents}-{options.seconds:g}.md", text)
    if options.write:
        made = [path.read_text(encoding="utf-8") for path in sorted(SECTIONS.glob("*.md"))]
        write_page(Path("docs/explanation/density.md"), page(made))


if __name__ == "__main__":
    main()
