"""Outcomes and measures have the values that are known where these can be computed."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.generation.rollouts import Starts
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.studies.calm.windows import WINDOW
from mimi_dynamics.studies.ranking.generating import floor, in_steps, outcomes, skill
from mimi_dynamics.studies.ranking.measures import linear_measures, velocity_variances, without_past
from mimi_dynamics.studies.ranking.places import Places
from tests.harness import ROOT
from tests.harness.simulation import simulate
from tests.studies.ranking.test_sets import encoded

STARTS, BANDS, SAMPLES = 200, 40, 4
SETTINGS = load_params(ROOT / "params.yaml")


def settings() -> Params:
    """A small generator, trained for long enough."""
    study = {"parameters": 20000, "epochs": 12, "width": 16}
    return SETTINGS.model_copy(
        update={"ranking_study": SETTINGS.ranking_study.model_copy(update=study)}
    )


def places(recorded: np.ndarray) -> Places:
    """Eight starts a clip."""
    starts = Starts(np.arange(STARTS) // 8, np.full(STARTS, 8), np.full(STARTS, 12))
    return Places(starts, recorded, random_windows(3, 400))


def random_windows(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, WINDOW, BANDS))


def test_the_truth_is_perfect_and_other_places_have_no_skill() -> None:
    truth, clip = random_windows(0, STARTS), np.arange(STARTS) // 8
    assert skill(np.stack([truth] * 2), truth, clip, SETTINGS).value == pytest.approx(1)
    elsewhere = np.stack([random_windows(seed, STARTS) for seed in range(1, 9)])
    none = skill(elsewhere, truth, clip, SETTINGS)
    assert none.value == pytest.approx(0, abs=0.02)


def test_distances_are_zero_where_nothing_differs_and_grow_with_what_does() -> None:
    truth = random_windows(0, STARTS)
    drawn = np.stack([np.stack([truth] * SAMPLES)] * 2)
    same = outcomes(drawn, truth, places(truth), SETTINGS)
    for key in ("frechet", "frechet_of_codec"):
        assert same[key] == pytest.approx(0, abs=1e-6)
    # A codec that shifts all by 0.1 is not the generator's fault.
    shifted = truth + 0.1
    drawn = np.stack([np.stack([shifted] * SAMPLES)] * 2)
    moved = outcomes(drawn, shifted, places(truth), SETTINGS)
    assert moved["frechet"] == pytest.approx(moved["frechet_of_codec"])
    assert moved["frechet"] > 0.01
    assert moved["skill"] < moved["skill_of_generator"] == pytest.approx(1)
    assert moved["frechet_trainings"] == 2
    assert moved["by_training"]["t0"] == moved["by_training"]["t1"]
    assert moved["by_training"]["t0"]["skill"] == moved["skill"]


def test_other_recordings_are_at_a_distance_too() -> None:
    """Of two samples of one distribution the distance is above 0, as they are finite."""
    found = floor(places(random_windows(0, STARTS)), SETTINGS)
    assert found["frechet"] > 0.3


def test_linear_measures_of_a_process_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """`linear` is an autoregression; what each component does to the sound is its weight."""
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    data = simulate("linear", 40000, 4)
    clips = data.frames.reshape(-1, 50, 4)
    rho = torch.corrcoef(torch.stack([clips[:, 1:].ravel(), clips[:, :-1].ravel()]))[0, 1].item()
    of = replace(encoded(4), data=data)
    monkeypatch.setattr(
        "mimi_dynamics.studies.ranking.measures.component_effects",
        lambda *_: np.array([1.0, 0.0, 0.0, 3.0]),
    )
    found = linear_measures(of, settings())
    assert found["r2"] == pytest.approx(found["autocorrelation"] ** 2, abs=0.02)
    assert found["audible_gain_nats"] == pytest.approx(-0.5 * math.log(1 - found["r2"]), abs=0.02)
    assert found["autocorrelation"] == pytest.approx(rho, abs=0.03)


def test_lengths_in_steps_are_as_long() -> None:
    predict = SETTINGS.predict
    halved = in_steps(predict, 2)
    assert halved.warmup_frames * 2 == predict.warmup_frames
    assert halved.lags * 2 == predict.lags
    assert in_steps(predict, 1) == predict


def test_without_past_leaves_targets_and_tells_nothing() -> None:
    data = simulate("linear", 4000, 2)
    blind = without_past(data, 0)
    assert blind.targets is not None
    assert torch.equal(blind.targets, data.frames)
    pair = torch.stack([blind.frames[:-1, 0], blind.targets[1:, 0]])
    assert abs(torch.corrcoef(pair)[0, 1].item()) < 0.06


@pytest.mark.trains
@pytest.mark.slow
def test_velocity_variance_of_a_gaussian_is_known() -> None:
    """Of N(m, s²), ∫ s² / ((1 − t)² + t² s²) dt = s π/2, where s is what the past leaves."""
    data: Sequences = simulate("linear", 40000, 2)
    of = replace(encoded(2), data=data)
    found = velocity_variances(of, settings())
    lag = data.frames.reshape(-1, 50, 2)
    rho = torch.corrcoef(torch.stack([lag[:, :-1].ravel(), lag[:, 1:].ravel()]))[0, 1].item()
    assert found["velocity_variance_without_past"] == pytest.approx(math.pi / 2, rel=0.05)
    left = math.sqrt(1 - rho**2)
    assert found["velocity_variance"] == pytest.approx(left * math.pi / 2, rel=0.07)
