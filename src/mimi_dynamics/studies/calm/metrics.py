"""The contents of `metrics/detail/calm.json` and the tables of its figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.generation.scores import LeadScores
from mimi_dynamics.studies.calm.comparison import CONTENDERS, Comparison
from mimi_dynamics.studies.calm.cost import CostCurve, equal_score_ratio
from mimi_dynamics.studies.calm.flops import frame_flops, network_evaluations
from mimi_dynamics.studies.calm.model import parameters_of
from mimi_dynamics.studies.calm.samples import Drawn, first_runs, recorded_paths, window_distances

FLOORS = ("climatology", "persistence")
LAST_SECOND = 12  # in frames
COURSE_POINTS = 200


def calm_metrics(
    comparison: Comparison,
    drawn: dict[str, Drawn],
    curves: dict[str, CostCurve],
    heard: pd.DataFrame,
) -> dict[str, Any]:
    """Give the contents of `metrics/detail/calm.json`.

    Args:
        comparison: the trained contenders.
        drawn: samples of all contenders, by split.
        curves: score against cost, for `calm` and `ours`.
        heard: `decoding.decoded_scores` of all contenders.
    """
    test = drawn["test"]
    metrics: dict[str, Any] = {
        name: score_metrics(test.scores, name)
        | (quality_metrics(comparison, test, name) if name in CONTENDERS else {})
        for name in (*CONTENDERS, *FLOORS)
    }
    for name in ("calm", "ours", "predictor"):
        metrics[name] |= cost_metrics(comparison, name)
    for name, result in window_distances(comparison, test).items():
        windows = {
            k: v for key, estimate in result.items() for k, v in estimate.metrics(key).items()
        }
        metrics.setdefault(name, {})["windows"] = windows
    for name, decoded in decoded_metrics(heard, comparison).items():
        metrics[name]["decoded"] = decoded
    metrics["calm"]["temperature"] = comparison.temperature
    metrics["ratio"] = ratios(test.scores, "ours", "calm") | equal_score_ratio(
        curves["ours"], curves["calm"]
    ).metrics("train_flops_to_equal_energy_score")
    metrics["ratio"]["params"] = metrics["ours"]["params"] / metrics["calm"]["params"]
    metrics["ratio"]["train_flops"] = (
        metrics["ours"]["train_flops"] / metrics["calm"]["train_flops"]
    )
    metrics["predictor_ratio"] = {
        "over_calm": ratios(test.scores, "predictor", "calm"),
        "ours_over_predictor": ratios(test.scores, "ours", "predictor"),
    }
    metrics["trainings"] = comparison.params.calm.seeds
    if "test_voice" in drawn:
        scores = drawn["test_voice"].scores
        metrics["test_voice"] = {
            name: score_metrics(scores, name) for name in (*CONTENDERS, *FLOORS)
        } | {"ratio": ratios(scores, "ours", "calm")}
    return metrics


def ratios(scores: LeadScores, first: str, second: str) -> dict[str, float]:
    """Divide one contender's energy score by another's, over all leads and at each lead.

    Args:
        scores: scores of all contenders.
        first: name of the contender in the numerator.
        second: name of the contender in the denominator.
    """
    result = (scores.overall(first) / scores.overall(second)).metrics("energy_score")
    for lead in scores.leads:
        ratio = scores.at(first, lead) / scores.at(second, lead)
        result |= ratio.metrics(f"energy_score_k{lead}")
    return result


def score_metrics(scores: LeadScores, name: str) -> dict[str, object]:
    """Give energy score and skill at each lead, and the energy score over all leads."""
    energy: dict[str, float] = {}
    skill: dict[str, float] = {}
    for lead in scores.leads:
        energy |= scores.at(name, lead).metrics(f"k{lead}")
        skill |= scores.skill(name, lead).metrics(f"k{lead}")
    energy |= scores.overall(name).metrics("mean")
    return {"energy_score": energy, "skill": skill}


def quality_metrics(comparison: Comparison, drawn: Drawn, name: str) -> dict[str, object]:
    """Measure diversity, survival and drift of one contender."""
    scores = drawn.scores
    diversity = scores.overall(name, "spread") / scores.overall(name, "error")
    return {
        **diversity.metrics("diversity_ratio"),
        "survival": {
            key: value
            for lead in scores.leads
            for key, value in scores.at(name, lead, "survival").metrics(f"k{lead}").items()
        },
        **drift(comparison, drawn, name),
    }


def drift(comparison: Comparison, drawn: Drawn, name: str) -> dict[str, float]:
    """Divide the norm of the last second of generated frames by that of the recorded ones.

    Neither counts where the recorded frame is gated; if all are, the metric is left out. A ratio
    of 1 means no drift; silence gives less, and explosions give more. Only the longest trajectories
    count.

    Args:
        comparison: the trained contenders.
        drawn: their samples.
        name: name of the contender.
    """
    grid = drawn.grid
    longest = grid.steps == grid.steps[0]
    last = slice(max(0, int(grid.steps[0]) - LAST_SECOND), int(grid.steps[0]))
    truth, gated = recorded_paths(grid)
    heard = ~gated[longest, last, 0].numpy()
    if not heard.any():
        return {}
    generated = first_runs(drawn.paths)[name][:, longest, last].norm(dim=-1).mean(0)
    recorded = truth[longest, last].norm(dim=-1)
    clips, index = np.unique(grid.starts.clip[longest], return_inverse=True)
    of_frame = np.repeat(index[:, None], heard.shape[1], 1)[heard]
    params = comparison.params
    bootstrap = ClipBootstrap(len(clips), params.predict.bootstrap_samples, params.seed)
    above, below = (
        bootstrap.mean(norms.numpy()[heard], of_frame) for norms in (generated, recorded)
    )
    return (above / below).metrics("norm_in_last_second")


def cost_metrics(comparison: Comparison, name: str) -> dict[str, float]:
    """Give what one contender costs to train and to run."""
    key = name if name in comparison.generators else f"{name}@0"
    generator = comparison.generators[key]
    head = comparison.params.calm.head if name == "calm" else comparison.params.head
    if name == "predictor":
        cost = comparison.predictor_cost
        results = {
            "params": parameters_of(generator.step),
            "train_flops": cost.flops,
            "train_passes": cost.passes,
            "train_steps": cost.steps,
        }
    else:
        trained = comparison.trained[name][0]
        results = {
            "params": trained.parameters,
            "train_flops": trained.flops,
            "train_passes": trained.passes,
            "train_steps": trained.steps,
        }
    start = comparison.grid("test").starts[:1]
    return results | {
        "network_evaluations_per_frame": network_evaluations(generator, head),
        "flops_per_frame": frame_flops(generator, start),
    }


def decoded_metrics(heard: pd.DataFrame, comparison: Comparison) -> dict[str, dict[str, float]]:
    """Average decoded scores over starts, by contender.

    Args:
        heard: the table of `decoding.decoded_scores`, for all contenders.
        comparison: the trained contenders.
    """
    results: dict[str, dict[str, float]] = {}
    params = comparison.params
    for name, rows in heard.groupby("row"):
        clips, index = np.unique(rows["clip"], return_inverse=True)
        bootstrap = ClipBootstrap(len(clips), params.predict.bootstrap_samples, params.seed)
        results[name] = {}
        for column in ("log_mel_distance", "log_mel_energy_score"):
            results[name] |= bootstrap.mean(rows[column].to_numpy(), index).metrics(column)
    return results


def skill_table(drawn: dict[str, Drawn]) -> pd.DataFrame:
    """Make a table of the skill of every contender and of persistence, by lead."""
    rows = [
        {"split": split, "lead_ms": result.grid.data.milliseconds(lead), "row": name}
        | result.scores.skill(name, lead).metrics("skill")
        for split, result in drawn.items()
        for name in (*CONTENDERS, "persistence")
        for lead in result.scores.leads
    ]
    return pd.DataFrame(rows).rename(columns=lambda column: column.replace("_ci", ""))


def cost_table(curves: dict[str, CostCurve], comparison: Comparison) -> pd.DataFrame:
    """Make a table of the mean energy score and the training cost at every checkpoint."""
    rows = []
    for name, curve in curves.items():
        checkpoints = comparison.trained[name][0].checkpoints
        for checkpoint, score in zip(checkpoints, curve.scores, strict=True):
            point = {"row": name, "epochs": checkpoint.epochs, "train_flops": checkpoint.flops}
            rows.append(point | score.metrics("energy_score"))
    return pd.DataFrame(rows).rename(columns=lambda column: column.replace("_ci", ""))


def window_table(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Make a table of window distances, one row for every contender and distance."""
    rows = []
    for name in (*CONTENDERS, "recorded"):
        result = metrics[name]["windows"]
        rows += [
            {
                "row": name,
                "distance": key,
                "value": result[key],
                "low": result[f"{key}_ci_low"],
                "high": result[f"{key}_ci_high"],
            }
            for key in ("frechet", "sliced_wasserstein")
        ]
    return pd.DataFrame(rows)


def course_table(comparison: Comparison) -> pd.DataFrame:
    """Make a table of CALM's minimised loss and its unweighted error over training.

    Each row is a mean over 1/200 of the steps.
    """
    rows = []
    for seed, trained in enumerate(comparison.trained["calm"]):
        course = trained.calm_course
        steps = np.arange(len(course.error))
        for part in np.array_split(steps, min(COURSE_POINTS, len(steps))):
            weighted, error = (np.array(v)[part].mean() for v in (course.weighted, course.error))
            row = {"training": seed, "step": int(part[-1]) + 1}
            rows.append(row | {"weighted_loss": weighted, "unweighted_error": error})
    return pd.DataFrame(rows)
