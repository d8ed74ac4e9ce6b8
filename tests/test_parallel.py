"""Jobs give the same bits on one core as on several, and leave nothing behind."""

import pytest
import torch
from torch import Tensor

from mimi_dynamics import parallel
from mimi_dynamics.parallel import run_parallel


def draw(seed: int) -> Tensor:
    """Something that seeds, draws and multiplies."""
    torch.manual_seed(seed)
    values = torch.randn(300, 300)
    return values @ values


def test_one_core_or_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    several = run_parallel(draw, [1, 2, 3], "draw")
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    alone = run_parallel(draw, [1, 2, 3], "draw")
    assert all((first == second).all() for first, second in zip(several, alone, strict=True))


def test_jobs_in_this_process_do_not_move_its_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run_parallel(draw, [5], "draw")
    assert (torch.rand(3) == expected).all()
    assert torch.get_num_threads() == threads
