"""Does the estimator find what is there, and nothing where nothing is?

Runs the estimator of `predict` on processes whose true gain is known.

    python src/controls.py       (or: dvc repro controls)

Reads nothing. Writes metrics/controls.json, plots/controls.csv and plots/controls.png.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec
from mimi_dynamics.evidence.gains import Gains, clip_bootstrap, fit_many
from mimi_dynamics.figures.gains import controls_figure
from mimi_dynamics.pipeline.files import write_metrics, write_text
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.controls.processes import PROCESSES


def controls(params: Params) -> None:
    """Run the stage."""
    size = params.controls
    clips = round(size.frames / size.clip_frames)
    rows = {
        name: process.simulate(clips, size.clip_frames, size.dim, params.seed)
        for name, process in PROCESSES.items()
    }
    any_row = next(iter(rows.values()))
    template = FitSpec("", any_row, "", 1, params.predict, params.seed, compute=params.compute)
    jobs = [
        replace(template, row=row, sequences=data, head=head)
        for head in (params.head, LINEAR_BASELINE)
        for row, data in rows.items()
    ]
    bootstrap = clip_bootstrap(any_row, "test", params.predict.bootstrap_samples, params.seed)
    gains = Gains(template, rows, fit_many(jobs), "test", bootstrap)
    metrics = {name: process_metrics(gains, name, params.head) for name in rows}
    write_metrics(Path("metrics/controls.json"), metrics)
    table = pd.DataFrame.from_dict(metrics, orient="index").rename_axis("process").reset_index()
    write_text(Path("plots/controls.csv"), table.to_csv(index=False, float_format="%.6g"))
    save_figure(controls_figure(table), Path("plots/controls.png"))


def process_metrics(gains: Gains, name: str, head: str) -> dict[str, float]:
    """True and estimated gain of one process, and the share recovered where there is any."""
    true, estimate = PROCESSES[name].true_gain(gains.dim), gains.gain(name, head)
    metrics = estimate.metrics("estimated_nats_per_dim")
    metrics["linear_floor_nats_per_dim"] = gains.gain(name, LINEAR_BASELINE).value
    if true > 0:
        metrics |= {"true_nats_per_dim": true} | (estimate / true).metrics("recovered")
    return metrics


if __name__ == "__main__":
    run_stage(controls)
