"""How many nats does the past tell about the latent that lies `horizon` frames ahead?

Fits p(x_{t+k} | x_{≤t}), p(x_{t+k}) and p(Δx), all from the same family of densities, to the real
latents and to every surrogate, and scores them on held-out clips.

    python src/predict.py        (or: dvc repro predict)

Reads data/latents/ and models/normalizer.safetensors.
Writes models/predictor.safetensors, metrics/predict.json, metrics/detail/predict.json,
plots/predict.csv, plots/learning_curve.csv and plots/calibration.csv.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.density.fit import FitSpec, check_horizon, evaluated_splits
from mimi_dynamics.density.predictor import Predictor, save_predictor
from mimi_dynamics.diagnostics.calibration import LEVELS, Ranks
from mimi_dynamics.diagnostics.learning_curve import (
    fit_rows,
    learning_curve,
    parts_of_train,
)
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.evidence.gains import STACK, Gains, clip_bootstrap, fit_all
from mimi_dynamics.evidence.surrogates import make_surrogates
from mimi_dynamics.latents.loading import read_data
from mimi_dynamics.pipeline.distributed import is_main_process
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.predict.metrics import calibrate, summarise


def predict(params: Params) -> None:
    """Run the stage."""
    real = read_data(params)
    template = FitSpec(
        "real", real, "", params.horizon, params.predict, params.seed, compute=params.compute
    )
    check_horizon(template)
    order = params.predict.linear_order
    rows = {"real": real} | make_surrogates(real, template.first, order, params.seed)
    fits, best = fit_all(template, rows, list(params.predict.heads))
    parts = parts_of_train(template)
    fits_of_parts = {name: fit_rows(template, part, best) for name, part in parts.items()}
    if not is_main_process():
        return

    draws = params.predict.bootstrap_samples
    gains = {
        split: Gains(template, rows, fits, split, clip_bootstrap(real, split, draws, params.seed))
        for split in evaluated_splits(real)
    }
    ranks = calibrate(template, fits)
    metrics = summarise(template, rows, fits, best, gains, ranks)
    curve = learning_curve(template, parts, fits_of_parts, gains["test"])
    write_stage_metrics("predict", metrics | {"learning_curve": curve})
    write_learning_curve(curve)
    write_plots(gains["test"], list(rows))
    write_calibration(ranks, gains["test"].bootstrap)
    write_predictor(fits["real", best, "conditional"].network, best, params)


def write_plots(gains: Gains, rows: list[str]) -> None:
    """Write the gains of the stack on real data and on every surrogate as CSV.

    Args:
        gains: the gains on one split.
        rows: `real` and the names of the surrogates.
    """
    table = {
        row: {
            key.replace("_ci", ""): value
            for name, delta in (("gain", False), ("delta_gain", True))
            for key, value in gains.gain(row, STACK, delta=delta).metrics(name).items()
        }
        for row in rows
    }
    frame = pd.DataFrame.from_dict(table, orient="index").rename_axis("row").reset_index()
    write_table(Path("plots/predict.csv"), frame)


def write_learning_curve(curve: dict[str, object]) -> None:
    """Write the gains by amount of training data as CSV."""
    rows = [{"part": name, **found} for name, found in curve.items() if isinstance(found, dict)]
    table = pd.DataFrame(rows).rename(columns=lambda column: column.replace("_ci", ""))
    write_table(Path("plots/learning_curve.csv"), table)


def write_calibration(ranks: dict[str, Ranks], bootstrap: ClipBootstrap) -> None:
    """Write the coverage of forecast regions and intervals as CSV, by head and nominal level."""
    rows = [
        {"head": head, "kind": kind, "level": level, **coverage.metrics("coverage")}
        for head, of in ranks.items()
        for kind, levels, cover in (
            ("region", LEVELS, of.region_coverage),
            ("coordinate", LEVELS[1::2], of.coordinate_coverage),
        )
        for level, coverage in ((level, cover(level, bootstrap)) for level in levels)
    ]
    table = pd.DataFrame(rows)
    write_table(Path("plots/calibration.csv"), table)


def write_predictor(predictor: Predictor, head: str, params: Params) -> None:
    """Save the best conditional density, with the settings that are needed to rebuild it."""
    info = {"head": head, "horizon": params.horizon, **params.predict.model_dump()}
    save_predictor(predictor, Path("models/predictor.safetensors"), info)


if __name__ == "__main__":
    run_stage(predict, shared=True)
