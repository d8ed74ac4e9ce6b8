"""Shared test settings: slow tests run only with --slow, and every test on one thread and core."""

import os

import pytest
import torch

from mimi_dynamics.pipeline.limits import CORES_SETTING
from mimi_dynamics.pipeline.parallel import use_one_thread


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that also runs the tests marked slow."""
    parser.addoption("--slow", action="store_true", help="also run tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked slow unless asked for; the whole pipeline, which takes longest, first."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))


@pytest.fixture(autouse=True, scope="session")
def _one_core() -> None:
    """Small models are slower, not faster, on shared threads; `make nightly` also asks for two.

    Where tests run side by side, each process of pytest has a core of its own, and workers that
    the code under test starts would take the others'. Tests that need them ask for them.
    """
    use_one_thread()
    torch.set_num_threads(int(os.environ.get("MIMI_TEST_THREADS", "1")))
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault(CORES_SETTING, "1")
