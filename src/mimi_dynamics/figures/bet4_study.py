"""The study of bet 4 in words and tables, of the run's latents and of those of another codec."""

import re
from collections.abc import Mapping
from typing import Any

NAMES = {
    "consistency": "CALM by consistency",
    "lsd": "CALM by LSD",
    "lsd_unweighted": "CALM by LSD, no adaptive weight",
    "ours": "z_dyn, z_rec, x",
    "predictor": "plain predictor",
    "var": "linear model",
    "climatology": "random frames of train",
    "persistence": "newest frame",
}
# The name of a score on validation, with the steps of sampling and the variance of its noise.
WAY = re.compile(r"energy_score_steps_(\d+)_temperature_(\w+)")
SPLITS = {"test": "test", "test_voice": "the held-out voice"}


def bet_lines(study: Mapping[str, Any] | None, name: str = "bet4_study") -> list[str]:
    """Write the study as lines of Markdown.

    Args:
        study: the content of its file; None if it has not been run.
        name: of the study.
    """
    if study is None:
        return [f"The study `{name}` has not been run."]
    judged, ratio = study["judged"], study["ratio"]
    way = study["validation"][judged]
    lines = [
        f"Each was trained {study['trainings']} times by the study `{name}`"
        f" (`python src/{name}.py`).",
        f"CALM is compared as trained by {NAMES[judged].removeprefix('CALM by ')} and sampled in"
        f" {way['steps']} step{'s' * (way['steps'] > 1)} with noise of",
        f"variance {way['temperature']:g}, which is best on validation of the recipes that the rule"
        " names. Ours / CALM: the energy",
        f"score of the first two frames is {_with_ends(ratio, 'energy_score_leads_1_2')},",
        f"the number of parameters {ratio['parameters']:.3f}, the operations of training"
        f" {ratio['train_operations']:.3f}, and those of a",
        f"generated frame {ratio['generation_operations']:.2f}.",
    ]
    for split, words in SPLITS.items():
        scores = study if split == "test" else study.get(split)
        if scores:
            lines += ["", f"On {words}, fair energy score, less is better:", "", *_table(scores)]
    lines += ["", "How to sample was chosen by the same score on validation:", ""]
    lines += _ways_table(study["validation"])
    lines += ["", "| | passes over train | 10¹² operations of training |", "|---|---|---|"]
    lines += [
        f"| {NAMES[name]} | {study[name].get('train_passes', '')}"
        f" | {study[name]['train_operations'] / 1e12:.2f} |"
        for name in NAMES
        if "train_operations" in study[name]
    ]
    return lines


def _ways_table(ways: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Give the score of each recipe by steps, in rows, and by variance of the noise, in columns."""
    found = {
        (recipe, int(way[1]), float(way[2].replace("p", "."))): score
        for recipe, of in ways.items()
        for key, score in of.items()
        if (way := WAY.fullmatch(key))
    }
    variances = sorted({variance for *_, variance in found}, reverse=True)
    titles = [f"noise of variance {variance:g}" for variance in variances]
    rows = [
        " | ".join(
            [f"| {NAMES[recipe]}", str(steps)]
            + [f"{found[recipe, steps, variance]:.3f}" for variance in variances]
        )
        + " |"
        for recipe, steps in dict.fromkeys((recipe, steps) for recipe, steps, _ in found)
    ]
    return [f"| | steps | {' | '.join(titles)} |", "|---" * (2 + len(titles)) + "|", *rows]


def _table(scores: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {words} | {scores[name]['energy_score']['k1']:.3f}"
        f" | {scores[name]['energy_score']['k2']:.3f}"
        f" | {_with_ends(scores[name]['energy_score'], 'leads_1_2')} | {_ratio(scores, name)} |"
        for name, words in NAMES.items()
    ]
    return ["| | 1 frame | 2 frames | both | ours / it, both |", "|---|---|---|---|---|", *rows]


def _ratio(scores: Mapping[str, Any], name: str) -> str:
    of = scores["ratio_to"].get(name)
    return _with_ends(of, "energy_score_leads_1_2") if of else ""


def _with_ends(metrics: Mapping[str, float], key: str) -> str:
    low, high = (metrics[f"{key}_ci_{end}"] for end in ("low", "high"))
    return f"{metrics[key]:.3f} [{low:.3f}, {high:.3f}]"
