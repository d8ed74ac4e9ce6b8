"""How does the gain fall with lead time? Compare what stage `horizon` found at every distance.

    python src/horizons.py       (or: dvc repro horizons)

Reads data/latents/, models/normalizer.safetensors and data/horizons/.
Writes metrics/horizons.json, metrics/detail/horizons.json and plots/horizons.csv.
"""

from pathlib import Path

import pandas as pd
import torch

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec, FittedDensity, evaluated_splits
from mimi_dynamics.evidence.gains import Fits, Gains, clip_bootstrap
from mimi_dynamics.evidence.surrogates import reorderings
from mimi_dynamics.latents.loading import read_data
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.conventions import FRAME_MS
from mimi_dynamics.pipeline.files import require, write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.tensors import read_tensors
from mimi_dynamics.studies.horizons.metrics import summarise


def horizons(params: Params) -> None:
    """Run the stage."""
    real = read_data(params)
    rows = {"real": real} | reorderings(real, torch.Generator().manual_seed(params.seed))
    fits = {k: read_fits(k) for k in params.horizons}
    draws = params.predict.bootstrap_samples
    bootstraps = {
        split: clip_bootstrap(real, split, draws, params.seed) for split in evaluated_splits(real)
    }
    gains = {
        split: {
            k: Gains(template(params, real, k), rows, fits[k], split, bootstraps[split])
            for k in params.horizons
        }
        for split in bootstraps
    }
    write_stage_metrics("horizons", summarise(params, gains))
    write_plots(params, gains["test"])


def template(params: Params, real: Sequences, k: int) -> FitSpec:
    """Describe the densities of the real latents k frames ahead."""
    return FitSpec("real", real, params.head, k, params.predict, params.seed)


def read_fits(k: int) -> Fits:
    """Read the scores that stage `horizon` wrote for distance k.

    Returns:
        Fits by row, head and density. They hold only the NLL of each scored frame, in nats, by
        split; there is no predictor in them.
    """
    tensors, _ = read_tensors(require(Path(f"data/horizons/k{k}.safetensors"), "horizon"))
    scores: dict[tuple[str, str, str], dict] = {}
    for name, nll in tensors.items():
        split, row, head, density = name.split(".")
        scores.setdefault((row, head, density), {})[split] = nll.numpy()
    return {key: FittedDensity(None, 0.0, nll) for key, nll in scores.items()}


def write_plots(params: Params, gains: dict[int, Gains]) -> None:
    """Write gain against lead time as CSV, with a row for each lead and all curves side by side.

    Args:
        params: all settings.
        gains: the gains on the test split, by distance in frames.
    """
    curves = {
        "real": ("real", params.head, False),
        "shuffled": ("shuffled", params.head, False),
        "var": ("real", LINEAR_BASELINE, False),
        "delta_var": ("real", LINEAR_BASELINE, True),
        "delta_permuted": ("permuted", LINEAR_BASELINE, True),
    }
    table = pd.DataFrame(
        {"lead_ms": k * FRAME_MS}
        | {
            key.replace("_ci", ""): value
            for name, (row, head, delta) in curves.items()
            for key, value in gains[k].gain(row, head, delta=delta).metrics(name).items()
        }
        for k in sorted(gains)
    )
    write_table(Path("plots/horizons.csv"), table)


if __name__ == "__main__":
    run_stage(horizons)
