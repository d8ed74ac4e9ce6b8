"""Numbers as text, and words that depend on numbers, for README.md and the report page."""

from collections.abc import Iterable

import jinja2
from jinja2.runtime import Context

from mimi_dynamics.pipeline.conventions import FRAME_RATE
from mimi_dynamics.pipeline.metrics import Metrics
from mimi_dynamics.report.metrics_file import Measured, has, measured

UNITS = {  # scale, number of decimals and suffix of each unit
    "nats": (1, 3, ""),
    "share": (100, 1, " %"),
    "ms": (1, 0, " ms"),
    "millions": (1e-6, 1, " M"),
}


def decimal(value: float, digits: int = 3) -> str:
    """Write a number with a true minus sign, and without any sign if it rounds to zero."""
    text = f"{float(value):.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def percent(value: float, digits: int = 0) -> str:
    """Write a share of 1 as a percentage."""
    return f"{decimal(100 * value, digits)} %"


def general(value: float) -> str:
    """Write a setting with no more digits than necessary."""
    return f"{value:g}"


@jinja2.pass_context
def milliseconds(context: Context, frames: float) -> str:
    """Write a number of frames as a time in milliseconds, at the rate of the run's latents."""
    return f"{1000 * float(frames) / frame_rate(context):.0f} ms"


@jinja2.pass_context
def seconds(context: Context, frames: float) -> str:
    """Write a number of frames as a time in seconds."""
    return f"{decimal(float(frames) / frame_rate(context), 1)} s"


def frame_rate(context: Context) -> float:
    """Give the frames a second of the latents that a page is about, from the run's own row."""
    row = context.get("codec_table", {}).get("codec", {})
    return row.get("frame_rate", FRAME_RATE)


def half_life(horizons: Metrics) -> str:
    """Write at which lead half of the dynamic gain is gone, which is known only as a bracket.

    Args:
        horizons: metrics of the stage `horizons`.
    """
    if not has(horizons, "half_life_above_ms"):
        return "at a lead that is not known"
    above = decimal(measured(horizons, "half_life_above_ms").value, 0)
    if not has(horizons, "half_life_below_ms"):
        return f"only beyond {above} ms ahead, if at all"
    return (
        f"between {above} and {decimal(measured(horizons, 'half_life_below_ms').value, 0)} ms ahead"
    )


def counted(number: float, noun: str) -> str:
    """Write a number of things: 1 frame, 2 frames."""
    return f"{float(number):.0f} {noun}{'' if number == 1 else 's'}"


def bracketed(ends: Iterable[float], digits: int) -> str:
    """Write an interval.

    Args:
        ends: the lower and the upper end.
        digits: number of digits after the decimal point.
    """
    return f"[{', '.join(decimal(end, digits) for end in ends)}]"


def interval(metrics: Metrics, key: str, digits: int, scale: float = 1) -> str:
    """Write the 95 % interval of a metric, multiplied by `scale`.

    Args:
        metrics: metrics that hold the ends of the interval.
        key: dotted key of the metric.
        digits: number of digits after the decimal point.
        scale: 100 for per cent, or −1 for a difference that is stated the other way round.

    Raises:
        InputError: if the key has no interval.
    """
    ends = (scale * measured(metrics, f"{key}_ci_{end}").value for end in ("low", "high"))
    return bracketed(sorted(ends), digits)


def shown(result: Measured, unit: str = "nats") -> tuple[str, str]:
    """Write a number and its interval as two texts; the second is empty without an interval.

    Args:
        result: the number.
        unit: a key of `UNITS`.
    """
    scale, digits, suffix = UNITS[unit]
    ends = bracketed((scale * result.low, scale * result.high), digits)
    value = decimal(scale * result.value, digits) + suffix
    return value, ends if result.has_interval else ""


def cell(result: Measured, unit: str = "nats") -> str:
    """Write a number and its interval as one text."""
    return " ".join(shown(result, unit)).strip()


def cells(metrics: Metrics, keys: Iterable[str], unit: str = "nats") -> list[str]:
    """Write the metrics at several keys, each with its interval.

    Raises:
        InputError: if one of them is missing.
    """
    return [cell(measured(metrics, key), unit) for key in keys]


def compared(
    result: Measured, below: str, undecided: str, above: str, threshold: float = 0.0
) -> str:
    """Choose words by the side of a threshold on which the whole interval lies.

    Args:
        result: a number with its interval.
        below: words for an interval below the threshold.
        undecided: words for an interval that contains the threshold.
        above: words for an interval above the threshold.
        threshold: the number to compare with.
    """
    if result.low > threshold:
        return above
    return below if result.high < threshold else undecided


def listed(names: Iterable[str]) -> str:
    """Write names as a list: a, b and c."""
    *others, last = ["", *names]
    return " and ".join(filter(None, [", ".join(others[1:]), last]))


def words(name: str) -> str:
    """Write a key as words, with spaces for underscores."""
    return name.replace("_", " ")


def one_line(text: str) -> str:
    """Write a text on one line, with single spaces between its words."""
    return type(text)(" ").join(text.split())
