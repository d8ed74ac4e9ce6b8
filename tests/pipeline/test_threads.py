"""What the number of threads changes: not a bit of what stages train, digits of what runs outside.

Stages train through `run_parallel`, one thread each; `test_parallel.py` compares one core with two.
"""

from functools import partial

import numpy as np
import pytest
import torch

from mimi_dynamics.density.fit import FitSpec, fit_densities
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.parallel import run_parallel
from tests.density.test_fit import SMALL
from tests.harness.simulation import simulate

# Sums in another order; a training of a few hundred steps lets them grow.
TOLERANCE_NATS_PER_FRAME = 1e-3
PARAMS = SMALL.model_copy(
    update={"width": 64, "epochs": 1, "pretrain_epochs": 1, "batch_frames": 1_500}
)


def trained(threads: int, *, by_stage: bool) -> np.ndarray:
    """(scored,) NLL on test of a small conditional density."""
    job = FitSpec("real", simulate("linear", 4_000, 4), "gaussian", 1, PARAMS, 0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        fits = (
            run_parallel([partial(fit_densities, job)], "fit")[0]
            if by_stage
            else fit_densities(job)
        )
    finally:
        torch.set_num_threads(before)
    return fits["conditional"].nll["test"]


@pytest.mark.trains
def test_trainings_of_a_stage_are_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    one, two = (trained(threads, by_stage=True) for threads in (1, 2))
    assert np.array_equal(one, two)


@pytest.mark.trains
def test_shared_threads_change_last_digits_only() -> None:
    one, two = (trained(threads, by_stage=False) for threads in (1, 2))
    assert abs(one.mean() - two.mean()) < TOLERANCE_NATS_PER_FRAME
    np.testing.assert_allclose(one, two, atol=10 * TOLERANCE_NATS_PER_FRAME)
