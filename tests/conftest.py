"""Shared test settings: slow tests run only with --slow."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that also runs the tests marked slow."""
    parser.addoption("--slow", action="store_true", help="also run tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked slow unless asked for."""
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))
