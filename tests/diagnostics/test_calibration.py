"""Coverage is what it says, and less or more for forecasts too sure or not sure enough."""

import numpy as np
import pytest
import torch

from mimi_dynamics.density.fit import FitSpec, batches_of
from mimi_dynamics.density.predictor import make_marginal
from mimi_dynamics.density.var import Var
from mimi_dynamics.diagnostics.calibration import LEVELS, Ranks, calibration_metrics, rank_truth
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from tests.density.test_fit import SMALL
from tests.harness.simulation import simulate

DATA = simulate("white_noise", 60_000, 3)  # standard normal


def ranks(spread: float) -> Ranks:
    """Of white noise under a normal density whose standard deviation is `spread`."""
    dim = DATA.dim
    gaussian = Var(torch.zeros(0, dim, dim), torch.zeros(dim), spread**2 * torch.eye(dim))
    torch.manual_seed(0)
    forecast = make_marginal(gaussian, "gaussian", 8, 1)
    return rank_truth(FitSpec("real", DATA, "gaussian", 1, SMALL, 0), forecast, "test")


def test_true_density_covers_what_it_says() -> None:
    """At every level, of the whole frame and of each coordinate."""
    found, bootstrap = ranks(1.0), ClipBootstrap(120, 100, 0)
    for level in LEVELS:
        coverage = found.region_coverage(level, bootstrap).value
        assert coverage == pytest.approx(level, abs=0.05)
    for level in LEVELS[1::2]:
        coverage = found.coordinate_coverage(level, bootstrap).value
        assert coverage == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize(("spread", "sign"), [(0.7, -1), (1.5, 1)])
def test_wrong_spread_shows(spread: float, sign: int) -> None:
    """Too sure: covers less than it says; not sure enough: more."""
    metrics = calibration_metrics({"any": ranks(spread)}, ClipBootstrap(120, 100, 0))["any"]
    for kind in ("region", "coordinate"):
        for level in (50, 90):
            name = f"{kind}_{level}"
            bound = metrics[f"{name}_ci_high" if sign < 0 else f"{name}_ci_low"]
            assert sign * (bound - level / 100) > 0


def test_ranks_are_of_the_scored_frames() -> None:
    """Each with its clip, thinned evenly."""
    found = ranks(1.0)
    job = FitSpec("real", DATA, "gaussian", 1, SMALL, 0)
    scored = sum(len(batch.frame) for batch in batches_of(job, "test"))
    stride = scored // 1500
    assert len(found.clip) == pytest.approx(scored / stride, rel=0.02)
    assert found.below.shape == (len(found.clip), DATA.dim)
    assert np.isin(found.clip, np.arange(120)).all()
