"""Does the estimator find what is there, and nothing where nothing is?

Runs the estimator of `predict` on processes whose true gain is known.

    python src/controls.py       (or: dvc repro controls)

Reads nothing. Writes its metrics and plots/controls.csv.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec
from mimi_dynamics.evidence.gains import Gains, clip_bootstrap, fit_many
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
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
    write_stage_metrics("controls", metrics | worst(metrics))
    table = pd.DataFrame.from_dict(metrics, orient="index").rename_axis("process").reset_index()
    write_table(Path("plots/controls.csv"), table)


def worst(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    """Give the least share recovered, and the gain farthest from zero where there is none."""
    recovered = [found["recovered"] for found in metrics.values() if "recovered" in found]
    nulls = [
        found["estimated_nats_per_dim"] for found in metrics.values() if "recovered" not in found
    ]
    return {
        "worst_recovered": min(recovered),
        "worst_null_nats_per_dim": max(nulls, key=abs),
    }


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
