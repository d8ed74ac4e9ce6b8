"""The page on a new head, followed literally."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mimi_dynamics.density.heads import HEADS
from tests.density import test_heads
from tests.harness import ROOT

MOST_LINES = 40  # of the module, blank ones aside


@pytest.fixture(autouse=True)
def _low_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The head on the page, in `HEADS`."""
    page = (ROOT / "docs/tutorials/new_head.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= MOST_LINES
    (tmp_path / "low_rank.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(HEADS, "low_rank", importlib.import_module("low_rank").LowRankHead)
    yield
    del sys.modules["low_rank"]


@pytest.mark.parametrize(
    "holds",
    [
        test_heads.test_gradients_reach_every_parameter,
        test_heads.test_rows_do_not_mix,
        test_heads.test_state_survives_a_round_trip,
        test_heads.test_one_odd_frame_stays_finite,
        pytest.param(test_heads.test_density_integrates_to_one, marks=pytest.mark.slow),
        pytest.param(test_heads.test_samples_match_density, marks=pytest.mark.slow),
    ],
    ids=lambda test: test.__name__.removeprefix("test_"),
)
def test_the_head_of_the_tutorial_is_one(holds: Callable[[str], None]) -> None:
    holds("low_rank")
