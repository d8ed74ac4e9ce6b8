"""Does the estimator find what there is to find, and nothing where there is nothing?

Runs the predictor of the stage `predict` on synthetic processes whose true gain is known.

    python src/controls.py        (or: dvc repro controls)

Reads nothing but params.yaml. Writes metrics/controls.json.
"""

from pathlib import Path

from mimi_dynamics.estimation import Fit
from mimi_dynamics.files import write_metrics
from mimi_dynamics.gains import Fits, Gains, best_head, fit_many
from mimi_dynamics.params import Params
from mimi_dynamics.processes import PROCESSES
from mimi_dynamics.scoring import ClipBootstrap
from mimi_dynamics.stage import run_stage

HORIZON = 1  # for which the true gains hold


def controls(params: Params) -> None:
    """Run the stage."""
    settings, heads = params.controls, list(params.predict.heads)
    clips = settings.frames // settings.clip_frames
    data = {
        name: process.simulate(clips, settings.clip_frames, settings.dim, params.seed)
        for name, process in PROCESSES.items()
    }
    jobs = [
        Fit(name, sequences, head, density, HORIZON, params.predict, params.seed)
        for density in ("conditional", "marginal")
        for name, sequences in data.items()
        for head in heads
    ]
    fits = fit_many(jobs)
    templates = {job.row: job for job in jobs}
    write_metrics(
        Path("metrics/controls.json"),
        {name: control_metrics(template, fits, heads) for name, template in templates.items()},
    )


def control_metrics(template: Fit, fits: Fits, heads: list[str]) -> dict[str, object]:
    """Estimated against true gain of one process, by the head that validation likes best."""
    name, head = template.row, best_head(fits, template.row, heads)
    test = template.sequences.select("test")
    bootstrap = ClipBootstrap(len(test.lengths), template.params.bootstrap_samples, template.seed)
    gain = Gains(template, {name: template.sequences}, fits, "test", bootstrap).gain(name, head)
    metrics = {**gain.metrics("estimated_nats_per_dim"), "best_head": head}
    true = PROCESSES[name].true_gain(test.dim)
    if true == 0:
        return metrics
    return metrics | {"true_nats_per_dim": true, "recovered": gain.value / true}


if __name__ == "__main__":
    run_stage(controls)
