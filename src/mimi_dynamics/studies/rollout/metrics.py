"""Scores of free-running forecasts by lead, and what is reported of them."""

from mimi_dynamics.generation.forecasts import ForecastScores, skill_horizon

FORECASTS = ("rollout", "direct", "var")


Scores = dict[str, dict[int, ForecastScores]]  # by split and lead


def summarise(scores: Scores) -> dict[str, object]:
    """All of `metrics/rollout.json`."""
    by_split = {
        split: {f"k{k}": lead_metrics(at_lead) for k, at_lead in by_lead.items()}
        | {
            "skill_horizon_frames": {
                row: skill_horizon({k: at_lead.skill(row) for k, at_lead in by_lead.items()})
                for row in FORECASTS
            }
        }
        for split, by_lead in scores.items()
    }
    return by_split.pop("test") | by_split


def lead_metrics(scores: ForecastScores) -> dict[str, object]:
    """One lead of `metrics/rollout.json`."""
    energy, skill = {}, {}
    for row in (*FORECASTS, "climatology"):
        energy |= scores.mean(row).metrics(row)
    for row in FORECASTS:
        skill |= scores.skill(row).metrics(row)
    return {
        "energy_score": energy,
        "skill": skill,
        **(scores.mean("rollout") - scores.mean("direct")).metrics("gap"),
        **scores.mean("rollout", "survival").metrics("survival"),
        **scores.mean("rollout", "true_survival").metrics("true_survival"),
        "starts": scores.starts,
        "clips": scores.clips,
    }


def curves(scores: ForecastScores, row: str) -> dict[str, float]:
    """What is drawn of one row at one lead; truth has no skill, but it survives."""
    if row == "truth":
        metrics = scores.mean("rollout", "true_survival").metrics("survival")
    else:
        survival = scores.mean(row, "survival").metrics("survival")
        metrics = scores.skill(row).metrics("skill") | survival
    return {name.replace("_ci", ""): value for name, value in metrics.items()}
