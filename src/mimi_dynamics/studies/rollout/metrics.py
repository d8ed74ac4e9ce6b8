"""Metrics of free-running forecasts by lead, from their scores."""

from mimi_dynamics.generation.scores import LeadScores, skill_horizon

FORECASTS = ("rollout", "direct", "var")
Scores = dict[str, dict[int, LeadScores]]  # keyed by split and lead


def summarise(scores: Scores) -> dict[str, object]:
    """Give the contents of `metrics/detail/rollout.json`."""
    by_split = {
        split: {f"k{k}": lead_metrics(at_lead, k) for k, at_lead in by_lead.items()}
        | {
            "skill_horizon_frames": {
                row: skill_horizon({k: at_lead.skill(row, k) for k, at_lead in by_lead.items()})
                for row in FORECASTS
            }
        }
        for split, by_lead in scores.items()
    }
    return {**by_split.pop("test"), **by_split}


def lead_metrics(scores: LeadScores, lead: int) -> dict[str, object]:
    """Give the entry of one lead in `metrics/detail/rollout.json`.

    Args:
        scores: scores of the forecasts.
        lead: lead in frames.
    """
    energy: dict[str, float] = {}
    skill: dict[str, float] = {}
    for row in (*FORECASTS, "climatology"):
        energy |= scores.at(row, lead).metrics(row)
    for row in FORECASTS:
        skill |= scores.skill(row, lead).metrics(row)
    return {
        "energy_score": energy,
        "skill": skill,
        **(scores.at("rollout", lead) - scores.at("direct", lead)).metrics("gap"),
        **scores.at("rollout", lead, "survival").metrics("survival"),
        **scores.at("rollout", lead, "true_survival").metrics("true_survival"),
        **scores.counts(lead),
    }


def curves(scores: LeadScores, row: str, lead: int) -> dict[str, float]:
    """Give the points of one row at one lead for the figure.

    The row `truth` has a survival, but no skill.
    """
    if row == "truth":
        metrics = scores.at("rollout", lead, "true_survival").metrics("survival")
    else:
        survival = scores.at(row, lead, "survival").metrics("survival")
        metrics = scores.skill(row, lead).metrics("skill") | survival
    return {name.replace("_ci", ""): value for name, value in metrics.items()}
