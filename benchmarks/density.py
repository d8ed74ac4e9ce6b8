r"""Our densities of the next latent against those a user would pick instead, at equal wall time.

Every contender trains for the same wall time on two threads, one after the other, on the latents
of this repository, and is scored on the same test frames. Rivals are the conditional densities of
zuko and sbi given the last 8 frames, each with the better on validation of two settings that get
the full time. Ours are what `mimi_dynamics.density.fit.fit_densities` fits, given all frames up to
now; their time includes the ridge VAR, the start that marginal and conditional share, the marginal
and the scoring.

Rivals are no dependencies of the project, so the environment is its own. After `make install`:

    .venv/bin/uv venv --python .venv/bin/python benchmarks/.venv
    .venv/bin/uv pip install --python benchmarks/.venv/bin/python --constraint requirements.lock \
        --extra pipeline -r pyproject.toml -r benchmarks/requirements-density.txt
    PYTHONPATH=src benchmarks/.venv/bin/python benchmarks/density.py

Reads data/latents/, models/normalizer.safetensors and params.yaml. Prints a table, which --write
keeps as docs/density.md. Takes 20 minutes, the choice of epochs for ours included.
"""

import argparse
import importlib.metadata
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from mimi_dynamics.density.fit import Density, FitSpec, FittedDensity, fit_densities
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.gains import Scored, clip_bootstrap
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_text
from mimi_dynamics.pipeline.params import Params, load_params
from rivals import BATCH, CONTEXT, LR, RIVALS, Rival, Windows, losses, train_rival

THREADS = 2
HEADS = ("flow", "mdn")
MOST_EPOCHS = 100
REFERENCE = "ours, flow"
INPUTS = ("data/latents", "models/normalizer.safetensors")
PACKAGES = ("torch", "zuko", "sbi")


@dataclass(frozen=True)
class Result:
    """What a contender did with its time.

    Attributes:
        name: as in the table.
        settings: in a few words.
        nll: (scored,) nats per test frame.
        parameters: how many numbers it trained.
        seconds: of wall time.
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
    size = parameters(fitted.predictor)
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
    """The fitted densities, and the seconds of wall time."""
    start = time.perf_counter()
    return fit_densities(job), time.perf_counter() - start


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
    runs: list[tuple[str, Callable[[], list[Result]]]] = [("closed forms", lambda: run_floors(job))]
    for rival in RIVALS:
        runs.append((rival.name, lambda rival=rival: run_rival(job, rival, seconds)))
    for head in HEADS:
        runs.append((head, lambda head=head: run_ours(replace(job, head=head), seconds)))
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


def page(job: FitSpec, seconds: float, results: list[Result]) -> str:
    """The table under what it was made from."""
    scored = {split: Scored.of(job, split) for split in ("train", "test")}
    clips = int((job.sequences.splits == "test").sum())
    draws = clip_bootstrap(job.sequences, "test", job.params.bootstrap_samples, job.seed)
    body = table(results, lambda nll: draws.mean(nll, scored["test"].clip) / job.sequences.dim)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"""# Ours beside other densities

Negative log likelihood of the next latent ({job.sequences.dim} dimensions), mean over the same
{len(scored["test"].clip):,} test frames of {clips} clips with 95 % bootstrap intervals over clips;
behind ours = minus that of *{REFERENCE}*, paired. Each trained on {len(scored["train"].clip):,}
frames for {seconds:g} s of wall time on {THREADS} threads, one after the other ({versions}).

{body}

Rivals see the last {CONTEXT} frames, standardised, in batches of {BATCH}; AdamW with a peak
learning rate of {LR:g} after a warm-up, then a cosine over the time; the weights that validation
likes best. Each is trained twice for the whole time, with its library's defaults and as wide as
ours, and the better on validation is in the table. Ours see all frames up to now; their time
includes the ridge VAR, the start shared by marginal and conditional, the marginal, and the scoring.

`benchmarks/density.py` says how to run this.
"""


def read_job(params: Params) -> FitSpec:
    """The latents, and settings under which all contenders score the same frames.

    Raises:
        InputError: if the stages before have not been run, or a package is missing.
    """
    for path in INPUTS:
        if not Path(path).exists():
            raise InputError(f"{path}: not there; run `dvc repro normalize` first")
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"{package}: not installed; benchmarks/density.py says how at its top")
    sequences = load(params).sequences
    settings = params.predict.model_copy(update={"warmup_frames": CONTEXT, "var_order": CONTEXT})
    return FitSpec("real", sequences, HEADS[0], 1, settings, params.seed)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=75, help="of training, each [75]")
    parser.add_argument("--write", action="store_true", help="also to docs/density.md")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    try:
        job = read_job(load_params())
    except InputError as error:
        sys.exit(f"density: error: {error}")
    text = page(job, options.seconds, run_all(job, options.seconds))
    print(text)
    if options.write:
        write_text(Path("docs/density.md"), text)


if __name__ == "__main__":
    main()
