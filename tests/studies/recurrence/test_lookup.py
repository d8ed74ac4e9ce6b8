"""Lookups find what is nearest, and explain what is known to be explainable."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from mimi_dynamics.diagnostics.processes import RHO
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.latents.nearest import nearest
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.recurrence.keys import METRICS
from mimi_dynamics.studies.recurrence.lookup import (
    Lookup,
    Yardstick,
    look_up,
    mean_errors,
    moments,
    neighbour_counts,
    score_predictor,
)
from mimi_dynamics.studies.recurrence.search import matching
from tests.harness.simulation import simulate
from tests.studies.recurrence.test_keys import key_data

COUNTS = [2**power for power in range(9)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("entries", "count"), [(1003, 7), (1003, 200), (40, 40)])
def test_neighbours_are_the_nearest_of_all(metric: str, entries: int, count: int) -> None:
    """By every metric, in the order of their distances, as when each is measured one by one."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    keys, queries = rng.normal(size=(entries, 5)) @ mixing, rng.normal(size=(90, 5)) @ mixing
    inverse = {"VI": np.linalg.inv(np.cov(keys.T))} if metric == "mahalanobis" else {}
    distances = cdist(queries, keys, metric, **inverse)
    known, asked = (torch.from_numpy(points).float() for points in (keys, queries))
    found = nearest(METRICS[metric](asked, known), METRICS[metric](known, known), count).numpy()
    expected = np.sort(distances, 1)[:, :count]
    np.testing.assert_allclose(
        np.take_along_axis(distances, found, 1), expected, rtol=1e-3, atol=1e-5
    )
    assert all(len(set(row)) == count for row in found.tolist())


def test_equal_codes_come_first_then_shorter_matches() -> None:
    """All of both codes, then of the newest only, then any; never one twice."""
    rng = np.random.default_rng(0)
    keys = torch.from_numpy(rng.integers(0, 6, (500, 2)))
    queries = torch.from_numpy(rng.integers(0, 6, (70, 2)))
    found = matching(queries, keys, 200, seed=0)
    newest = keys[found][..., 0] == queries[:, :1]
    level = newest.int() + (newest & (keys[found][..., 1] == queries[:, 1:])).int()
    assert (level[:, 1:] <= level[:, :-1]).all()
    both = (keys[None] == queries[:, None]).all(-1).sum(1)
    assert torch.equal((level == 2).sum(1), both)
    assert all(len(row.unique()) == 200 for row in found)


def test_errors_of_growing_means_are_those_of_plain_means() -> None:
    """One by one."""
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(50, 2, 3, generator=generator)
    observed = torch.randn(300, 2, 3, generator=generator)
    neighbours = torch.randint(50, (300, 8), generator=generator)
    for column, count in enumerate([1, 2, 8]):
        mean = known[neighbours[:, :count]].mean(1)
        expected = (mean - observed).square().sum(-1)
        found = mean_errors(known, observed, neighbours, [1, 2, 8])[:, column]
        torch.testing.assert_close(found, expected)


def test_pairs_are_those_that_predict_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two frames of one clip, a horizon apart; thinned evenly when there are too many."""
    data = key_data(simulate("linear", 2000, 2), horizon=3)
    pairs = moments(data, "test")
    clip_of_frame = data.sequences.clip_of_frame
    assert torch.equal(pairs.later - pairs.now, torch.full((4 * 42,), 3))
    assert (clip_of_frame[pairs.now] == clip_of_frame[pairs.later]).all()
    assert (data.sequences.splits[clip_of_frame[pairs.later]] == "test").all()
    assert (pairs.later % 50 >= 8).all()
    monkeypatch.setattr("mimi_dynamics.studies.recurrence.lookup.SCORED_FRAMES", 60)
    assert set(moments(data, "test").later.tolist()) == set(
        pairs.later[pairs.later % 3 == 0].tolist()
    )


def test_linear_process_is_explained_as_far_as_it_can_be() -> None:
    """Of VAR(1) ρ² of x and (1 − ρ) / 2 of Δx; the energy score falls as the standard deviation."""
    data = key_data(simulate("linear", 30_000, 2))
    bootstrap = ClipBootstrap(60, 200, 0)
    found = look_up(Lookup("real", "whitened", data, COUNTS, 16))["euclidean"]
    scores = found.scores["test"]
    reduction = scores.variance_reduction(bootstrap)
    assert reduction.value == pytest.approx(RHO**2, abs=0.015)
    assert found.validation == pytest.approx(RHO**2, abs=0.03)
    assert scores.energy_skill(bootstrap).value == pytest.approx(
        1 - math.sqrt(1 - RHO**2), abs=0.02
    )
    of_change = scores.variance_reduction(bootstrap, of_change=True)
    assert of_change.value == pytest.approx((1 - RHO) / 2, abs=0.02)
    chosen = scores.reductions(bootstrap)[COUNTS.index(found.neighbours)]
    assert chosen.value == pytest.approx(reduction.value)


@pytest.mark.parametrize("key", ["whitened", "window", "pooled", "random"])
def test_nothing_is_found_in_noise(key: str) -> None:
    """Not of x: K neighbours make the error 1 / K larger. Of Δx half, if the key knows x_t."""
    data = key_data(simulate("white_noise", 20_000, 4))
    bootstrap = ClipBootstrap(40, 200, 0)
    for found in look_up(Lookup("real", key, data, COUNTS, 16)).values():
        scores = found.scores["test"]
        for count, reduction in zip(COUNTS, scores.reductions(bootstrap), strict=True):
            assert reduction.value == pytest.approx(-1 / count, abs=0.02 + 0.1 / count)
        interval = scores.energy_skill(bootstrap).metrics("skill")
        assert interval["skill_ci_low"] < 0.005
        if key == "whitened":
            of_change = scores.variance_reduction(bootstrap, of_change=True)
            assert 0.35 < of_change.value < 0.5


def test_sign_flip_is_invisible_to_means_but_not_to_samples() -> None:
    """±ρx has mean 0; its neighbours' futures still know the axis. Shuffled frames know nothing."""
    data = key_data(simulate("sign_flip", 20_000, 2))
    bootstrap = ClipBootstrap(40, 200, 0)
    real, null = (
        look_up(Lookup("", "whitened", d, COUNTS, 16))["euclidean"].scores["test"]
        for d in (data, data.shuffled())
    )
    assert real.variance_reduction(bootstrap).value == pytest.approx(0, abs=0.02)
    assert real.energy_skill(bootstrap).metrics("skill")["skill_ci_low"] > 0.015
    assert null.variance_reduction(bootstrap).value == pytest.approx(0, abs=0.02)
    assert null.energy_skill(bootstrap).value == pytest.approx(0, abs=0.015)


class TruePredictor:
    """Knows the linear process, and draws from torch's default generator as predictors do."""

    def sample(self, batch: Batch, samples: int) -> Tensor:
        """Independent draws of x one frame ahead."""
        mean = RHO * batch.context[batch.scored]
        return mean + math.sqrt(1 - RHO**2) * torch.randn(samples, *mean.shape)


@pytest.mark.parametrize("limit", [100_000, 9000])
def test_predictor_is_scored_without_its_sampling_noise(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Two samples of the truth explain ρ²; with their noise it would be ρ² − (1 − ρ²) / 2."""
    data = key_data(simulate("linear", 200_000, 3))
    monkeypatch.setattr("mimi_dynamics.studies.recurrence.lookup.SCORED_FRAMES", limit)
    scores = score_predictor(Yardstick(TruePredictor(), data, "test", 2))
    bootstrap = ClipBootstrap(400, 200, 0)
    assert scores.variance_reduction(bootstrap).value == pytest.approx(RHO**2, abs=0.02)
    of_change = scores.variance_reduction(bootstrap, of_change=True)
    assert of_change.value == pytest.approx((1 - RHO) / 2, abs=0.04)
    skill = scores.energy_skill(bootstrap).value
    assert skill == pytest.approx(1 - math.sqrt(1 - RHO**2), abs=0.02)
    assert np.array_equal(scores.clip, moments(data, "test").clip)


def test_too_many_neighbours_are_named() -> None:
    """With how many there are; powers of two else."""
    data = key_data(simulate("linear", 500, 2))
    assert neighbour_counts(data, 336) == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    with pytest.raises(InputError, match=r"neighbours = 337: must be at most the 336 frames"):
        neighbour_counts(data, 337)
