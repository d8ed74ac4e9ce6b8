"""Does the estimator find a gain where there is one, and none where there is none?

Runs the estimator of stage `predict` on simulated processes whose true gain is known: on those that
it was shaped on, and on others by which no setting was chosen.

    python src/controls.py       (or: dvc repro controls)

Reads no data. Writes metrics/controls.json, metrics/detail/controls.json and plots/controls.csv.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec
from mimi_dynamics.diagnostics.processes import DEVELOPMENT, HELD_OUT, PROCESSES
from mimi_dynamics.evidence.gains import STACK, Gains, clip_bootstrap, experts, fit_many, stacks
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage


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
        for head in experts(params.head)
        for row, data in rows.items()
    ]
    fits = fit_many(jobs)
    bootstrap = clip_bootstrap(any_row, "test", params.predict.bootstrap_samples, params.seed)
    gains = Gains(template, rows, fits | stacks(fits, params.head), "test", bootstrap)
    scored = range(max(NEXT_FRAME, params.predict.warmup_frames), size.clip_frames)
    found = {name: process_metrics(gains, name, scored) for name in rows}
    metrics = {name: found[name] for name in DEVELOPMENT}
    held_out = {name: found[name] for name in HELD_OUT}
    unseen = {"worst_held_out_recovered": worst(held_out)["worst_recovered"]}
    write_stage_metrics("controls", metrics | worst(metrics) | unseen | {"held_out": held_out})
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis("process").reset_index()
    table["kind"] = ["held out" if name in HELD_OUT else "development" for name in table["process"]]
    write_table(Path("plots/controls.csv"), table)


def worst(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    """Find the worst results over all processes.

    Args:
        metrics: what `process_metrics` gave, by name of the process.

    Returns:
        The smallest recovered share of a true gain; and, if there are processes whose true gain is
        zero, the estimated gain of theirs that is farthest from it (in nats per dimension).
    """
    recovered = [result["recovered"] for result in metrics.values() if "recovered" in result]
    nulls = [
        result["estimated_nats_per_dim"] for result in metrics.values() if "recovered" not in result
    ]
    of_nulls = {"worst_null_nats_per_dim": max(nulls, key=abs)} if nulls else {}
    return {"worst_recovered": min(recovered)} | of_nulls


def process_metrics(gains: Gains, name: str, scored: range) -> dict[str, float]:
    """Compare the estimated gain of one process with its true gain, in nats per dimension.

    Args:
        gains: the estimates for all processes.
        name: a key of `PROCESSES`.
        scored: indices of the scored frames in their clips.

    Returns:
        The estimate with its interval and the linear floor; and, where the true gain is above
        zero, the true gain and the share of it that the estimate recovers.
    """
    true, estimate = PROCESSES[name].true_gain(gains.dim, scored), gains.gain(name, STACK)
    metrics = estimate.metrics("estimated_nats_per_dim")
    metrics["linear_floor_nats_per_dim"] = gains.gain(name, LINEAR_BASELINE).value
    if true > 0:
        metrics |= {"true_nats_per_dim": true} | (estimate / true).metrics("recovered")
    return metrics


if __name__ == "__main__":
    run_stage(controls)
