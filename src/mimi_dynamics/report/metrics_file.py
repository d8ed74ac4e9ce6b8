"""Numbers of a metrics file with their intervals, found by key."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import Metrics


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval; without one, both ends are the number itself.

    Attributes:
        value: the number.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether the interval is wider than the number itself."""
        return (self.low, self.high) != (self.value, self.value)


def measured(metrics: Metrics, key: str) -> Measured:
    """Read the number at a dotted key, with its interval if there is one.

    The ends of the interval are at `<key>_ci_low` and `<key>_ci_high`.

    Raises:
        InputError: if the key is missing, or if the number or an end of its interval is not finite.
    """
    value = _number(metrics, key)
    if not has(metrics, f"{key}_ci_low"):
        return Measured(value, value, value)
    return Measured(value, _number(metrics, f"{key}_ci_low"), _number(metrics, f"{key}_ci_high"))


def has(metrics: Metrics, key: str) -> bool:
    """Tell whether there is anything at a dotted key."""
    return _at(metrics, key) is not None


def _at(metrics: Metrics, key: str) -> Any:  # noqa: ANN401
    result: Any = metrics
    for part in key.split("."):
        result = result.get(part) if isinstance(result, Mapping) else None
    return result


def _number(metrics: Metrics, key: str) -> float:
    result = _at(metrics, key)
    if isinstance(result, bool) or not isinstance(result, int | float) or not math.isfinite(result):
        raise InputError(f"metric {key} = {result!r}: must be a finite number")
    return float(result)
