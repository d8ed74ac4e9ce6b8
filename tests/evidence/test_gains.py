"""The whole table of gains, on data whose gains are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mimi_dynamics.density.fit import FitSpec
from mimi_dynamics.diagnostics.point_forecast import point_forecast_metrics
from mimi_dynamics.diagnostics.processes import VAR_GAIN
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.frontier import frontier
from mimi_dynamics.evidence.gains import STACK, Gains, fit_all, in_order
from mimi_dynamics.evidence.surrogates import make_surrogates
from mimi_dynamics.studies.predict.metrics import (
    gain_metrics,
    head_metrics,
    surrogate_metrics,
)
from tests.density.test_fit import SMALL
from tests.harness.simulation import simulate

HEADS = ["gaussian", "mdn"]
FRAMES = {"white_noise": 12_000, "linear": 20_000}


@pytest.fixture(scope="module", params=list(FRAMES))
def table(request: pytest.FixtureRequest) -> tuple[str, dict[str, dict]]:
    """All metrics of one process, as the stage `predict` writes them."""
    data = simulate(request.param, FRAMES[request.param], 4)
    template = FitSpec("real", data, "", 1, SMALL, 0)
    rows = {"real": data} | make_surrogates(data, SMALL.warmup_frames, linear_order=2, seed=0)
    fits, _ = fit_all(template, rows, HEADS)
    bootstrap = ClipBootstrap(len(data.select("test").lengths), 200, 0)
    gains = Gains(template, rows, fits, "test", bootstrap)
    return request.param, {
        "gains": gain_metrics(gains),
        "surrogates": surrogate_metrics(gains, list(rows)),
        "heads": head_metrics(gains, [*HEADS, "var", STACK]),
        "points": point_forecast_metrics(template, fits["real", "gaussian", "conditional"], "test"),
    }


def test_each_fit_is_done_once_and_no_head_has_to_be_known() -> None:
    """Heads of which nothing is known are not taken for each other, nor for a flow."""
    data = simulate("white_noise", 100, 2)
    jobs = [
        FitSpec(row, data, head, 1, SMALL, 0, delta=delta)
        for delta in (True, False)
        for row in ("shuffled", "real", "real")
        for head in ("gaussian", "newer", "newest", "flow")
    ]
    ordered = [(job.delta, job.row, job.head) for job in in_order(jobs)]
    assert len(ordered) == len(set(ordered)) == 16
    assert [delta for delta, _, _ in ordered] == [False] * 8 + [True] * 8
    assert {head for _, _, head in ordered[6:8]} == {"gaussian"}


@pytest.mark.trains
def test_gains_are_the_known_ones(table: tuple[str, dict[str, dict]]) -> None:
    """On x: none, or the VAR's. On Δx: ½ ln 2, or ½ ln(2(1 − ρ)) more than on x."""
    process, metrics = table
    true = {"white_noise": 0.0, "linear": VAR_GAIN}[process]
    free = {"white_noise": 0.5 * math.log(2), "linear": 0.5 * math.log(2 * 0.2)}[process]
    gains = metrics["gains"]
    assert gains["gain_nats_per_dim"] == pytest.approx(true, abs=0.02)
    assert gains["gain_nats_per_frame"] == pytest.approx(4 * gains["gain_nats_per_dim"])
    shuffled = metrics["surrogates"]["shuffled"]["gain_nats_per_dim"]
    assert gains["dynamic_gain_nats_per_dim"] == pytest.approx(true - shuffled, abs=0.03)
    assert shuffled < 0.12
    assert gains["delta"]["gain_nats_per_dim"] == pytest.approx(true + free, abs=0.03)
    assert gains["delta"]["dnll_nats_per_dim"] == -gains["delta"]["gain_nats_per_dim"]
    assert (
        gains["delta"]["dnll_nats_per_dim_ci_low"]
        <= gains["delta"]["dnll_nats_per_dim"]
        <= gains["delta"]["dnll_nats_per_dim_ci_high"]
    )
    assert gains["r2_equiv"] == pytest.approx(1 - math.exp(-2 * true), abs=0.02)


@pytest.mark.trains
def test_surrogates_show_what_is_free(table: tuple[str, dict[str, dict]]) -> None:
    """Permuted frames gain nothing on x and half ln 2 on Δx; the linear twin what data do."""
    process, metrics = table
    surrogates = metrics["surrogates"]
    # Shuffled within its clip, a frame of the VAR still tells of the clip's mean: no exact null.
    for row in ("shuffled", "permuted") if process == "white_noise" else ("permuted",):
        assert surrogates[row]["gain_nats_per_dim"] == pytest.approx(0, abs=0.03)
        assert surrogates[row]["delta_gain_nats_per_dim"] == pytest.approx(0.347, abs=0.03)
    true = {"white_noise": 0.0, "linear": VAR_GAIN}[process]
    assert surrogates["linear"]["gain_nats_per_dim"] == pytest.approx(true, abs=0.03)


@pytest.mark.trains
def test_point_forecasts_mislead_as_known(table: tuple[str, dict[str, dict]]) -> None:
    """White noise has no R², yet a direction cosine of 0.707 (0.32 for ρ = 0.8)."""
    process, metrics = table
    points = metrics["points"]
    if process == "white_noise":
        assert points["r2_one_step"] == pytest.approx(0, abs=0.01)
        assert points["direction_cosine"] > 0.6
    else:
        assert points["r2_one_step"] == pytest.approx(0.64, abs=0.02)
        assert points["mse_per_dim"] == pytest.approx(0.36, abs=0.02)
        assert points["direction_cosine"] < 0.4


@pytest.mark.trains
def test_tail_of_the_nll_is_reported(table: tuple[str, dict[str, dict]]) -> None:
    """For every head and the floor, in order."""
    for head in table[1]["heads"].values():
        assert (
            head["nll_median_nats_per_dim"]
            < head["nll_q999_nats_per_dim"]
            <= head["nll_max_nats_per_dim"]
        )


def test_kinds_of_frames_that_no_row_scores_have_no_gain() -> None:
    """All frames of a simulation are voiced: a mean over silent ones would be of nothing."""
    data = simulate("white_noise", 1000, 2)
    template = FitSpec("real", data, "gaussian", 1, SMALL, 0)
    bootstrap = ClipBootstrap(len(data.select("test").lengths), 10, 0)
    gains = Gains(template, {"real": data}, {}, "test", bootstrap)
    assert gains.has("voiced")
    assert not gains.has("silent")
    silent = replace(data, voiced=~data.voiced)
    assert not Gains(template, {"real": data, "b": silent}, {}, "test", bootstrap).has("voiced")


def test_a_draw_of_nothing_gives_no_frontier() -> None:
    """It is not an ease without a limit."""
    known = Estimate(1.0, np.array([1.0, 1.0]))
    gap = Estimate(0.2, np.array([np.nan, 0.2]))
    found = frontier([(known, known), (known, gap)], known)
    assert np.isnan(found.resamples).tolist() == [True, False]
