"""Numbers with their intervals as texts of the page."""

from mimi_dynamics.report.metrics_file import Measured, Metrics, measured
from mimi_dynamics.report.parts import Number


def decimal(value: float, digits: int = 3) -> str:
    """A number with a minus sign, never minus nothing."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def percent(value: float, digits: int = 0) -> str:
    """A share of 1 in per cent."""
    return f"{decimal(100 * value, digits)} %"


def shown(found: Measured, unit: str = "nats") -> tuple[str, str]:
    """A number and its interval, the latter empty if there is none.

    Args:
        found: the number.
        unit: `share` is shown in per cent, `ms` in whole ms, anything else with 3 decimals.
    """
    if unit == "share":
        value, ends = (
            percent(found.value, 1),
            [decimal(100 * e, 1) for e in (found.low, found.high)],
        )
    elif unit == "ms":
        value, ends = f"{found.value:.0f} ms", [f"{end:.0f}" for end in (found.low, found.high)]
    else:
        value, ends = decimal(found.value), [decimal(end) for end in (found.low, found.high)]
    return value, f"[{ends[0]}, {ends[1]}]" if found.has_interval else ""


def cell(found: Measured, unit: str = "nats") -> str:
    """A number and its interval in one text."""
    return " ".join(shown(found, unit)).strip()


def number(metrics: Metrics, key: str, label: str, unit: str = "nats") -> Number:
    """A headline number of a metrics file."""
    return Number(label, *shown(measured(metrics, key), unit), key)


def listed(names: list[str]) -> str:
    """Names in a row: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def words(name: str) -> str:
    """A key as words."""
    return name.replace("_", " ")


def side(found: Measured, threshold: float = 0.0) -> int:
    """1 or −1 if the whole interval is above or below the threshold, else 0."""
    return int(found.low > threshold) - int(found.high < threshold)
