"""Less of train is less of train alone, and a simple process is learned from little of it."""

import numpy as np
import pytest

from mimi_dynamics.density.fit import FitSpec
from mimi_dynamics.diagnostics.learning_curve import (
    PARTS,
    fit_rows,
    learning_curve,
    parts_of_train,
)
from mimi_dynamics.evidence.gains import Gains, clip_bootstrap
from tests.density.test_fit import SMALL
from tests.harness.simulation import simulate


@pytest.mark.parametrize("parts", [1, 2, 4, 1000])
def test_a_part_of_train_leaves_all_else(parts: int) -> None:
    """One clip in so many is left, and at least one; other splits stay as they are."""
    data = simulate("linear", 5000, 2)
    part = data.part_of_train(parts)
    clips = int((data.splits == "train").sum())
    assert (part.splits == "train").sum() == -(-clips // parts)
    assert part.train_targets(8) == -(-clips // parts) * 42
    for split in ("validation", "test"):
        assert (part.select(split).frames == data.select(split).frames).all()
    train = {tuple(frame) for frame in data.select("train").frames.tolist()}
    assert {tuple(frame) for frame in part.select("train").frames.tolist()} <= train


@pytest.mark.trains
@pytest.mark.slow
def test_a_linear_process_is_known_from_little() -> None:
    """All points lie on one line, and the rise is that of the last two of them."""
    data = simulate("linear", 16_000, 3)
    template = FitSpec("real", data, "gaussian", 1, SMALL, 0)
    parts = parts_of_train(template)
    assert set(parts) == set(PARTS)
    fits = {name: fit_rows(template, rows, "gaussian") for name, rows in parts.items()}
    rows = {"real": data, "shuffled": data}
    bootstrap = clip_bootstrap(data, "test", 50, 0)
    whole = Gains(template, rows, fit_rows(template, rows, "gaussian"), "test", bootstrap)
    curve = learning_curve(template, parts, fits, whole)
    gains = [curve[name]["gain_nats_per_dim"] for name in ("quarter", "half", "all")]
    assert gains == pytest.approx([-0.5 * np.log(1 - 0.8**2)] * 3, abs=0.04)
    assert curve["rise_nats_per_dim"] == pytest.approx(gains[2] - gains[1])
    sizes = [curve[name]["train_frames"] for name in ("quarter", "half", "all")]
    assert sizes[0] < sizes[1] < sizes[2] == data.train_targets(SMALL.warmup_frames)
