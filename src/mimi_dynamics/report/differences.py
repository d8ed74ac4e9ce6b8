"""Numbers before and now, and what the difference between them means.

A number has moved if it changed by more than the tolerance and, where it has 95 % intervals, lies
outside that of before or has that of before outside its own. Everything that compares metrics of
two runs reads them here, so that none calls noise what another reports.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mimi_dynamics.pipeline.metrics import DETAIL_FOLDER

Files = Mapping[str, Mapping[str, Any]]  # contents of metrics files by path
Changes = dict[str, dict[str, dict[str, Any]]]  # by path and key, `old` and `new`
Ends = tuple[float, float]

TOLERANCE = 1e-3  # of the larger value: another processor moves the fourth digit, not the third
DETAIL = f"{DETAIL_FOLDER.as_posix()}/"
FIRST_RULES = "2026-11-22"  # the date of the rules that were the only ones at first
JUDGED = ("supported", "contradicted", "inconclusive", "controls failed")

# Direction of better, by the words of a metric's name: the first line that knows one of them.
DIRECTIONS = (
    (0, "surrogates shuffled permuted random climatology true threshold prior linear var"),
    (-1, "dnll nll mse score gap mel error distance flops failed collapsed rejected dead"),
    (1, "gain recovered skill survival r2 ease sufficiency fidelity reduction help agreement"),
    (1, "posterior supported informative half pesq stoi"),
)


@dataclass(frozen=True)
class Row:
    """A metric before and now.

    Attributes:
        path: its file.
        key: its dotted key.
        old: its value before; None where it was not there.
        new: its value now; None where it is not there.
        old_ends: its 95 % interval before, if it had one.
        new_ends: its 95 % interval now, if it has one.
    """

    path: str
    key: str
    old: float | str | None
    new: float | str | None
    old_ends: Ends | None = None
    new_ends: Ends | None = None

    @property
    def paired(self) -> bool:
        """Whether the metric is there both before and now."""
        return self.old is not None and self.new is not None

    @property
    def has_interval(self) -> bool:
        """Whether it has an interval before or now."""
        return bool(self.old_ends or self.new_ends)

    def reading(self, tolerance: float = TOLERANCE) -> str:
        """Tell what the change means.

        Args:
            tolerance: the largest change, as a share of the larger value, that is none.

        Returns:
            `new`, `gone`, `better`, `worse` or `changed`; nothing if the number has not moved.
        """
        if self.old is None or self.new is None:
            return "new" if self.old is None else "gone"
        if isinstance(self.old, str) or isinstance(self.new, str):
            return "" if self.old == self.new else "changed"
        if abs(self.new - self.old) <= tolerance * max(abs(self.old), abs(self.new)):
            return ""
        if _inside(self.new, self.old_ends) and _inside(self.old, self.new_ends):
            return ""
        direction = better(self.key)
        if not direction:
            return "changed"
        return "better" if (self.new - self.old) * direction > 0 else "worse"


def changes(old: Files, new: Files) -> Changes:
    """Pair every number before with that of now; of the headline, only what is headline now.

    Args:
        old: metrics files before, by path.
        new: metrics files now, by path.
    """
    results: Changes = {}
    for path in sorted(old.keys() | new.keys()):
        before, now = (flattened(files.get(path, {})) for files in (old, new))
        keys = before | now if path.startswith(DETAIL) else now
        results[path] = {
            key: {"old": before.get(key), "new": now.get(key)}
            for key in keys
            if key != "schema_version"
        }
    return results


def flattened(settings: object, key: str = "") -> dict[str, Any]:
    """Give the values of nested dicts and lists by dotted key, items of lists by number."""
    if not isinstance(settings, Mapping | list):
        return {key: settings} if key else {}
    items = settings.items() if isinstance(settings, Mapping) else enumerate(settings)
    nested = (flattened(value, f"{key}.{name}".lstrip(".")) for name, value in items)
    return {name: value for result in nested for name, value in result.items()}


def settings_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the settings, by dotted key, that were added, removed or changed, with both values."""
    return {
        key: {"old": old.get(key), "new": new.get(key)}
        for key in {**old, **new}
        if (key in old, old.get(key)) != (key in new, new.get(key))
    }


def rows_of(changes: Changes) -> list[Row]:
    """Give one row for each metric, with its interval, by file and key, k2 before k16."""
    rows = []
    for path, names in sorted(changes.items()):
        for key in sorted(names, key=_by_number):
            if key.endswith(("_ci_low", "_ci_high")):
                continue
            low, high = (names.get(f"{key}_ci_{end}", {}) for end in ("low", "high"))
            ends = [
                (low[when], high[when]) if None not in (low.get(when), high.get(when)) else None
                for when in ("old", "new")
            ]
            rows.append(Row(path, key, names[key].get("old"), names[key].get("new"), *ends))
    return rows


def _by_number(key: str) -> list[tuple[int, str]]:
    return [
        (int(part or 0), part) if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", key)
    ]


def better(key: str) -> int:
    """Give 1 if more of a metric is better, −1 if less is, 0 if its name does not tell."""
    words = set(re.split(r"[._]", key))
    return next((sign for sign, known in DIRECTIONS if words & set(known.split())), 0)


def _inside(value: float, ends: Ends | None) -> bool:
    return ends is not None and ends[0] <= value <= ends[1]


def bets_in(keys: Iterable[str]) -> list[str]:
    """List the bets of which `metrics/detail/bets.json` has any of these dotted keys."""
    return sorted({key.split(".")[0] for key in keys if re.match(r"bet\d+\.", key)})


def rulings(values: Mapping[str, Any], bet: str) -> dict[str, str]:
    """Find where verdicts on a bet stand, by the date of the rules, the latest date first.

    Args:
        values: the contents of `metrics/detail/bets.json` by dotted key.
        bet: its name, such as `bet1`.

    Returns:
        The dotted key above each verdict. At first there were rules of one date only, of which the
        verdict stood at the bet itself.
    """
    pattern = re.compile(rf"{bet}\.rules_(\d+)_(\d+)_(\d+)\.posterior")
    found = [match for key in values if (match := pattern.fullmatch(key))]
    by_date = {
        "-".join(match.groups()): match[0].removesuffix(".posterior")
        for match in found
        if values[match[0]] is not None
    }
    if not by_date and values.get(f"{bet}.posterior") is not None:
        by_date = {FIRST_RULES: bet}
    return dict(sorted(by_date.items(), reverse=True))


def verdict(values: Mapping[str, Any], place: str) -> str:
    """Give a verdict on a bet in words, or nothing if there is none.

    Args:
        values: the contents of `metrics/detail/bets.json` by dotted key.
        place: the dotted key above it, one of `rulings`.
    """
    if values.get(f"{place}.posterior") is None:
        return ""
    if values.get(f"{place}.controls_failed"):
        return "controls failed"
    if not values.get(f"{place}.measured"):
        return "not measured"
    words: dict[object, str] = {1: "supported", 0: "contradicted"}
    return words.get(values.get(f"{place}.supported"), "inconclusive")


def flips(old: str, new: str) -> bool:
    """Tell whether two verdicts differ and both are ones: a bet not measured has none."""
    return old in JUDGED and new in JUDGED and old != new
