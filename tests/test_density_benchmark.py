"""The benchmark scores rivals on our frames, and gives ours no more time than them."""

import numpy as np
import pytest
import torch

import density
from density import REFERENCE, Result, affordable_epochs, table
from mimi_dynamics.density.fit import FitSpec, batches_of
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.pipeline.params import load_params
from rivals import CONTEXT, Windows
from tests.harness import ROOT
from tests.harness.simulation import simulate


def make_job() -> FitSpec:
    """White noise with the warm-up of the benchmark."""
    settings = load_params(ROOT / "params.yaml").predict
    settings = settings.model_copy(
        update={"warmup_frames": CONTEXT, "pretrain_epochs": 3, "epochs": 6}
    )
    return FitSpec("real", simulate("white_noise", 4000, 3), "flow", 1, settings, 0)


def test_windows_are_the_scored_targets_and_the_frames_before_them() -> None:
    job = make_job()
    windows = Windows.of(job, "test")

    batches = batches_of(job, "test")
    assert torch.equal(windows.target, torch.cat([b.target[b.scored] for b in batches]))
    for lag in range(CONTEXT):  # batch.context ends one frame before the target
        earlier = torch.cat([b.context.roll(lag, 1)[b.scored] for b in batches])
        place = 3 * (CONTEXT - 1 - lag)
        assert torch.equal(windows.context[:, place : place + 3], earlier)


def test_standardised_windows_have_mean_zero_and_variance_one_on_train() -> None:
    windows = Windows(3 + 2 * torch.randn(500, 8), 5 * torch.randn(500, 2))
    scaled = windows.standardised(windows)
    for values in vars(scaled).values():
        assert torch.allclose(values.mean(0), torch.zeros(values.shape[1]), atol=1e-5)
        assert torch.allclose(values.std(0), torch.ones(values.shape[1]), atol=1e-5)


def test_table_has_the_best_last_and_differences_paired() -> None:
    nll = np.random.default_rng(0).normal(size=200)
    results = [
        Result(REFERENCE, "as it is", nll, 1234, 75.2),
        Result("rival", "defaults", nll + 0.25, 10, 74.9),
    ]
    clip = np.repeat(np.arange(20), 10)
    draws = ClipBootstrap(20, 200, seed=0)
    rows = table(results, lambda values: draws.mean(values, clip)).splitlines()
    assert rows[2].startswith("| rival |")
    assert "| 0.250 [0.250, 0.250] |" in rows[2]
    assert rows[3].startswith(f"| {REFERENCE} |")
    assert "| 1,234 | 75 | as it is |" in rows[3]


@pytest.mark.parametrize(("seconds", "epochs"), [(32.0, (3, 6)), (31.9, (2, 5)), (1.0, (1, 1))])
def test_ours_gets_the_epochs_that_fit_into_the_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, epochs: tuple[int, int]
) -> None:
    def timed_fit(job: FitSpec) -> tuple[dict, float]:
        return {}, 2 + 2 * job.params.pretrain_epochs + 4 * job.params.epochs

    monkeypatch.setattr(density, "timed_fit", timed_fit)
    assert affordable_epochs(make_job(), seconds) == epochs
