"""How many nats does the past tell about the latent `horizon` frames ahead?

Fits p(x_{t+k} | x_{≤t}), p(x_{t+k}) and p(Δx) from the same family to the real latents and to
every surrogate, and scores them on held-out clips.

    python src/predict.py        (or: dvc repro predict)

Reads data/latents/ and models/normalizer.safetensors.
Writes models/predictor.safetensors, metrics/predict.json, and in plots/ predict.csv and .png,
calibration.csv and .png.
"""

from dataclasses import replace
from functools import partial
from operator import call
from pathlib import Path

import pandas as pd

from mimi_dynamics.budget import read_data
from mimi_dynamics.calibration import LEVELS, Ranks, calibration_metrics, rank_truth
from mimi_dynamics.compute import is_first
from mimi_dynamics.estimation import FLOOR, Fit, check_horizon, evaluated_splits
from mimi_dynamics.figures import FRAME_MS, save_figure
from mimi_dynamics.files import write_metrics, write_text
from mimi_dynamics.gain_figures import calibration_figure, gains_figure
from mimi_dynamics.gains import (
    POINT_HEAD,
    Fits,
    Gains,
    clip_bootstrap,
    fit_all,
    gain_metrics,
    head_metrics,
    point_forecast_metrics,
    surrogate_metrics,
)
from mimi_dynamics.parallel import run_parallel
from mimi_dynamics.params import Params
from mimi_dynamics.predictor import Predictor, save_predictor
from mimi_dynamics.scoring import ClipBootstrap
from mimi_dynamics.sequences import Sequences
from mimi_dynamics.stage import run_stage
from mimi_dynamics.surrogates import make_surrogates


def predict(params: Params) -> None:
    """Run the stage."""
    real = read_data(params)
    template = Fit(
        "real", real, "", params.horizon, params.predict, params.seed, compute=params.compute
    )
    check_horizon(template)
    rows = {"real": real} | make_surrogates(real, params.predict.linear_order, params.seed)
    fits, best = fit_all(template, rows, list(params.predict.heads))
    if not is_first():
        return

    draws = params.predict.bootstrap_samples
    gains = {
        split: Gains(template, rows, fits, split, clip_bootstrap(real, split, draws, params.seed))
        for split in evaluated_splits(real)
    }
    ranks = calibrate(template, fits)
    metrics = summarise(template, rows, fits, best, gains, ranks)
    write_metrics(Path("metrics/predict.json"), metrics)
    write_plots(gains["test"], best, list(rows), params.horizon)
    write_calibration(ranks, gains["test"].bootstrap)
    write_predictor(fits["real", best, "conditional"].predictor, best, params)


def calibrate(template: Fit, fits: Fits) -> dict[str, Ranks]:
    """Ranks of what came on test, by head."""
    heads = list(template.params.heads)
    predictors = [fits["real", head, "conditional"].predictor for head in heads]
    jobs = [partial(rank_truth, template, predictor, "test") for predictor in predictors]
    return dict(zip(heads, run_parallel(call, jobs, "calibrate"), strict=True))


def summarise(
    template: Fit,
    rows: dict[str, Sequences],
    fits: Fits,
    best: str,
    gains: dict[str, Gains],
    ranks: dict[str, Ranks],
) -> dict[str, object]:
    """All of `metrics/predict.json`."""
    test = gains["test"]
    surrogates = surrogate_metrics(test, best, list(rows))
    points = {
        row: point_forecast_metrics(
            replace(template, sequences=rows[row]), fits[row, POINT_HEAD, "conditional"], "test"
        )
        for row in ("real", "shuffled")
    }
    surrogates["shuffled"] |= points["shuffled"]
    metrics = {
        "horizon_frames": template.horizon,
        "dim": test.dim,
        "best_head": best,
        "frames": len(test.scored["real"].clip),
        **gain_metrics(test, best),
        **points["real"],
        "heads": head_metrics(test, [*template.params.heads, FLOOR]),
        "calibration": calibration_metrics(ranks, test.bootstrap),
        "surrogates": surrogates,
    }
    if "test_voice" in gains:
        metrics["test_voice"] = gain_metrics(gains["test_voice"], best)
    return metrics


def write_plots(gains: Gains, head: str, rows: list[str], horizon: int) -> None:
    """The table of gains as CSV and as a figure."""
    table = {
        row: {
            key.replace("_ci", ""): value
            for name, delta in (("gain", False), ("delta_gain", True))
            for key, value in gains.gain(row, head, delta=delta).metrics(name).items()
        }
        for row in rows
    }
    frame = pd.DataFrame.from_dict(table, orient="index").rename_axis("row").reset_index()
    write_text(Path("plots/predict.csv"), frame.to_csv(index=False, float_format="%.6g"))
    title = f"What the past tells about the latent {FRAME_MS * horizon} ms ahead ({head} head)"
    save_figure(gains_figure(table, title), Path("plots/predict.png"))


def write_calibration(ranks: dict[str, Ranks], bootstrap: ClipBootstrap) -> None:
    """Coverage by level as CSV and as a figure."""
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
    write_text(Path("plots/calibration.csv"), table.to_csv(index=False, float_format="%.6g"))
    save_figure(calibration_figure(table), Path("plots/calibration.png"))


def write_predictor(predictor: Predictor, head: str, params: Params) -> None:
    """The best conditional density, with what is needed to build it again."""
    info = {"head": head, "horizon": params.horizon, **params.predict.model_dump()}
    save_predictor(predictor, Path("models/predictor.safetensors"), info)


if __name__ == "__main__":
    run_stage(predict, shared=True)
