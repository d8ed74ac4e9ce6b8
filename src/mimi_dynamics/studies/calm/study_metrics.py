"""Scores of the variants of `study`: what each stabiliser is worth, and how contenders scale.

One training tells little, for with another seed the score is another. How far apart the trainings
of an unchanged contender come out is in every interval here, as if its variants varied as much.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.intervals import UPPER, around
from mimi_dynamics.generation.scores import LeadScores, average, draw_all, score_paths
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.calm.bet import Sampling, bet_grid, sampled
from mimi_dynamics.studies.calm.contenders import OURS
from mimi_dynamics.studies.calm.study import SHARES, WIDTHS, Variant
from mimi_dynamics.studies.calm.training import Trained

SCALES = ("parameters", "clips")


@dataclass(frozen=True)
class Spread:
    """How far apart trainings of one contender come out that differ only in their seed.

    Attributes:
        row: the contender.
        sd: standard deviation of the score.
        freedom: its degrees of freedom.
    """

    row: str
    sd: float
    freedom: int

    @classmethod
    def of(cls, row: str, scores: Sequence[float]) -> "Spread":
        """Measure it on the scores of two trainings or more."""
        return cls(row, float(np.std(scores, ddof=1)), len(scores) - 1)


@dataclass(frozen=True)
class Combined:
    """A sum of scores with weights, of which every training has its own.

    Attributes:
        estimate: the sum, with its draws of clips.
        weights: by the spread of each contender in it, the (trainings,) weights of its trainings.
    """

    estimate: Estimate
    weights: Mapping[Spread, np.ndarray]

    def __sub__(self, other: "Combined") -> "Combined":
        """Give the difference, paired by clips; no training may be in both."""
        return weighted([self, other], np.array([1.0, -1.0]))

    def metrics(self, name: str) -> dict[str, float]:
        """Give the number with its 95 % interval over clips and trainings, as metrics.

        The degrees of freedom of contenders with different spreads are those of Welch (1947).
        """
        variances = {
            spread: float((spread.sd * np.linalg.norm(own)) ** 2)
            for spread, own in self.weights.items()
        }
        total, of_trainings = sum(variances.values()), 0.0
        if total > 0:
            freedom = total**2 / sum(own**2 / spread.freedom for spread, own in variances.items())
            of_trainings = t.ppf(UPPER, freedom) * math.sqrt(total)
        of_clips = norm.ppf(UPPER) * np.nanstd(self.estimate.resamples)
        return around(name, self.estimate.value, float(np.hypot(of_clips, of_trainings)))


def weighted(scores: Sequence[Combined], weights: np.ndarray) -> Combined:
    """Add up scores with weights; no training may be in two of them."""
    pairs = list(zip(weights, scores, strict=True))
    value = sum(weight * score.estimate.value for weight, score in pairs)
    drawn = sum(weight * score.estimate.resamples for weight, score in pairs)
    of_trainings: dict[Spread, np.ndarray] = {}
    for weight, score in pairs:
        for spread, own in score.weights.items():
            before = of_trainings.get(spread, np.zeros(0))
            of_trainings[spread] = np.concatenate([before, weight * own])
    return Combined(Estimate(float(value), np.asarray(drawn)), of_trainings)


@dataclass(frozen=True)
class Scored:
    """A variant with its score.

    Attributes:
        variant: what differs.
        trained: its training, the first of several.
        score: the mean over the leads and its trainings.
    """

    variant: Variant
    trained: Trained
    score: Combined


def score_variants(
    params: Params,
    data: Sequences,
    variants: Sequence[Variant],
    trained: Mapping[str, Sequence[Trained]],
    ways: Mapping[str, Sequence[Sampling]],
) -> tuple[list[Scored], dict[str, Spread]]:
    """Score all trainings from the starts of bet 4 in test.

    Args:
        params: see `bet.bet_params`.
        data: the frames x of every split.
        variants: the unchanged contenders, which tell the spread, and all others.
        trained: the trainings by the name of the variant, several of those that are unchanged.
        ways: how each CALM can be sampled, by name, the best on validation first.

    Returns:
        The variants with their scores, and the spread of each contender.
    """
    generators = {}
    for name, runs in trained.items():
        for number, run in enumerate(runs):
            generator = run.generator
            if name in ways:
                best = ways[name][0]
                generator = sampled(generator, best.steps, best.temperature)
            generators[f"{name} {number}"] = generator
    grid = bet_grid(params, data, "test")
    table = score_paths(draw_all(generators, grid, params.compute), grid)
    scores = LeadScores(table, params.predict.bootstrap_samples, params.seed)
    each = {
        name: [scores.overall(f"{name} {number}") for number in range(len(runs))]
        for name, runs in trained.items()
    }
    spreads = {
        v.row: Spread.of(v.row, [score.value for score in each[v.name]])
        for v in variants
        if v.unchanged
    }
    found = []
    for variant in variants:
        own, runs = each[variant.name], trained[variant.name]
        weights = {spreads[variant.row]: np.full(len(own), 1 / len(own))}
        found.append(Scored(variant, runs[0], Combined(average(own), weights)))
    return found, spreads


def study_table(scored: Sequence[Scored]) -> pd.DataFrame:
    """Give a row for every variant.

    `worse` is its score less that of the unchanged contender.
    """
    whole = {one.variant.row: one for one in scored if one.variant.unchanged}
    rows = []
    for one in scored:
        variant, found = one.variant, one.score.metrics("energy_score")
        if variant.unchanged:
            found |= around("worse", 0.0, 0.0)
        else:
            found |= (one.score - whole[variant.row].score).metrics("worse")
        row: dict[str, Any] = {
            "row": variant.row,
            "without": variant.without,
            "width": variant.width,
            "clips": variant.share,
            "params": one.trained.parameters,
            "passes": one.trained.passes,
            "train_flops": one.trained.flops,
        }
        rows.append(row | {key.replace("_ci", ""): value for key, value in found.items()})
    return pd.DataFrame(rows)


def per_doubling(scored: Sequence[Scored], judged: str) -> dict[str, dict[str, float]]:
    """Fit by least squares how scores change when parameters or clips of train double.

    Args:
        scored: the variants, of which those with all stabilisers count.
        judged: the recipe of CALM that was scaled.

    Returns:
        For that recipe, ours and the predictor, and for ours less CALM: the change for each of
        `SCALES`, less being better.
    """
    by_row: dict[str, list[Scored]] = {}
    for one in scored:
        if not one.variant.without:
            by_row.setdefault(one.variant.row, []).append(one)
    slopes: dict[str, list[Combined]] = {}
    for row, cells in by_row.items():
        if len(cells) == len(WIDTHS) * len(SHARES):
            design = [
                [1.0, math.log2(cell.trained.parameters), math.log2(cell.variant.share)]
                for cell in cells
            ]
            scores = [cell.score for cell in cells]
            slopes[row] = [weighted(scores, own) for own in np.linalg.pinv(np.array(design))[1:]]
    apart = zip(slopes[OURS], slopes[judged], strict=True)
    slopes["ours_less_calm"] = [ours - calm for ours, calm in apart]
    return {
        row: {
            key: value
            for name, slope in zip(SCALES, both, strict=True)
            for key, value in slope.metrics(name).items()
        }
        for row, both in slopes.items()
    }


def ablation_metrics(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Nest what each stabiliser is worth by contender, and count what is surely so.

    Args:
        table: of `study_table`.

    Returns:
        By contender and stabiliser, how much worse the score is without it; and how many are
        `needed`, and how many `harmful`, by the interval.
    """
    found: dict[str, dict[str, Any]] = {}
    for _, row in table[table["without"] != ""].iterrows():
        worth = {
            "worse": row["worse"],
            "worse_ci_low": row["worse_low"],
            "worse_ci_high": row["worse_high"],
        }
        found.setdefault(row["row"], {})[row["without"]] = worth
    for of_row in found.values():
        worths = list(of_row.values())
        of_row["needed"] = sum(worth["worse_ci_low"] > 0 for worth in worths)
        of_row["harmful"] = sum(worth["worse_ci_high"] < 0 for worth in worths)
    return found
