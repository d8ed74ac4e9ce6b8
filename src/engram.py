"""Does a lookup memory of recurring patterns help to predict, and why?

Trains predictors of x and of the state z_dyn with a memory that is addressed by the last keys.
Also trains every control that the memory has to beat: a wider network with as many parameters, a
wider network with as much computation, the same tables with wrong addresses, and the same tables
with one address.

    python src/engram.py         (or: dvc repro engram)

Reads data/latents/, data/states/ and models/normalizer.safetensors.
Writes metrics/engram.json, metrics/detail/engram.json and plots/engram.csv.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import Metrics, write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.engram.comparison import compare
from mimi_dynamics.studies.engram.metrics import CONTROLS
from mimi_dynamics.studies.engram.subjects import make_subjects


def engram(params: Params) -> None:
    """Run the stage."""
    latents, _, data = load(params)
    metrics = compare(params, make_subjects(params, latents, data))
    write_stage_metrics("engram", {**metrics, "trainings": params.engram.seeds})
    write_plots(metrics)


def write_plots(metrics: Mapping[str, Metrics]) -> None:
    """Write how much the memory helps, as one CSV file.

    The table has its help against every control, by how often the keys occur, and by how close
    the nearest passage of train is.

    Args:
        metrics: the metrics of each subject (x or z_dyn), by name of the subject.
    """
    rows = []
    for subject, result in metrics.items():
        rows += [
            {
                "subject": subject,
                "what": "control",
                "of": of,
                **ends(result, f"{of}_nats_per_frame"),
            }
            for of in CONTROLS
        ]
        for of, values in result["by_count"].items():
            told = {name: values[name] for name in ("share", "gate_openness")}
            value = ends(values, "help_nats_per_frame")
            rows.append({"subject": subject, "what": "count", "of": of, **value, **told})
        for of, values in result["by_passage"].items():
            told = {"distance": values["distance"]}
            value = ends(values, "help_nats_per_frame")
            rows.append({"subject": subject, "what": "passage", "of": of, **value, **told})
    table = pd.DataFrame(rows)
    write_table(Path("plots/engram.csv"), table)


def ends(metrics: Metrics, key: str) -> dict[str, float]:
    """Give the metric `key` as `value`, and the ends of its interval as `low` and `high`."""
    return {
        "value": metrics[key],
        "low": metrics[f"{key}_ci_low"],
        "high": metrics[f"{key}_ci_high"],
    }


if __name__ == "__main__":
    run_stage(engram)
