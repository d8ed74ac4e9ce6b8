"""The tables of `metrics_report.py`, in Markdown as GitHub shows it."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from mimi_dynamics.report.differences import Changes, Ends, Row, bets_in, rulings, verdict

MOST_ROWS = 70  # of each of four tables: a comment on GitHub ends at 65,536 characters
MOVED = ("better", "worse", "changed")
RISES, FALLS = "↑", "↓"


def headline_table(rows: list[Row], tolerance: float) -> str:
    """Every number of the headline that is not the same, with what that means."""
    read = [(row, row.reading(tolerance) or "within noise") for row in rows if row.old != row.new]
    return _tables(read) if read else "Nothing changed."


def metrics_table(rows: list[Row], tolerance: float) -> str:
    """What left its interval; folded away, all else that changed, that is new or that is gone."""
    read = [(row, row.reading(tolerance)) for row in rows]
    unpaired = [(row, reading) for row, reading in read if reading in ("new", "gone")]
    moved = [(row, reading) for row, reading in read if reading in MOVED]
    left = [(row, reading) for row, reading in moved if row.has_interval]
    bare = [(row, reading) for row, reading in moved if not row.has_interval]
    still = [(row, reading) for row, reading in read if not reading and row.old != row.new]
    nothing = "Of numbers with an interval, none left it." if bare else "Nothing moved."
    parts = [_tables(left) if left else nothing]
    for lines, what in (
        (bare, f"changed by more than {tolerance:g} of their value, without an interval"),
        (unpaired, "new or gone"),
        (still, f"changed by less than {tolerance:g} of their value, or within 95 % intervals"),
    ):
        if lines:
            summary = f"<summary>{len(lines)} {what}</summary>"
            parts.append(f"<details>{summary}\n\n{_tables(lines)}\n\n</details>")
    return "\n\n".join(parts)


def _tables(read: Sequence[tuple[Row, str]]) -> str:
    """One table for each file: with its name in every line they would be too wide to read."""
    shown = itertools.groupby(read[:MOST_ROWS], key=lambda pair: pair[0].path)
    tables = [
        f"**{path}**\n\n| | before | now | change | |\n|---|--:|--:|--:|---|\n"
        + "\n".join(markdown(row, reading) for row, reading in pairs)
        for path, pairs in shown
    ]
    more = len(read) - MOST_ROWS
    if more > 0:
        tables.append(f"… and {more} more: `git diff` of metrics/detail/ shows them.")
    return "\n\n".join(tables)


def markdown(row: Row, reading: str) -> str:
    """A line of the table of its file."""
    change = "–"
    if not isinstance(row.old, str | None) and not isinstance(row.new, str | None):
        arrow = RISES if row.new > row.old else FALLS if row.new < row.old else ""
        change = f"{arrow} {_minus(f'{row.new - row.old:+.2g}')}".strip()
    values = (_shown(row.old, row.old_ends), _shown(row.new, row.new_ends))
    cells = (row.key, *values, change, reading)
    return f"| {' | '.join(cells)} |"


def params_table(changes: Changes) -> str:
    """Settings before and now."""
    rows = [
        f"| {path} | {name} | {_cell(change.get('old'))} | {_cell(change.get('new'))} |"
        for path, names in sorted(changes.items())
        for name, change in sorted(names.items())
    ]
    header = "| file | name | before | now |\n|---|---|---|---|\n"
    return header + "\n".join(rows) if rows else "Nothing changed."


def bets_table(keys: dict[str, dict]) -> str:
    """Every bet's verdict and posterior before and now, by the rules of each date.

    Those that flip come first, in bold.
    """
    before, now = ({key: of.get(when) for key, of in keys.items()} for when in ("old", "new"))
    rows, flipped = [], []
    for bet in bets_in(keys):
        places = rulings(before, bet), rulings(now, bet)
        for date in sorted({**places[0], **places[1]}, reverse=True):
            at = [place.get(date, "") for place in places]
            old, new = verdict(before, at[0]), verdict(now, at[1])
            mark = "" if old == new else "**flips**"
            mark = mark if old and new else "gone" if old else "new"
            if mark == "**flips**":
                flipped.append(f"**{bet} flips** from {old} to {new} (rules of {date}).")
            cells = (bet, date, _belief(before, at[0]), _belief(now, at[1]), mark)
            rows.append((mark != "**flips**", f"| {' | '.join(cells)} |"))
    lines = [line for _, line in sorted(rows, key=lambda row: row[0])]
    header = "| bet | rules of | before | now | |\n|---|---|---|---|---|\n"
    if not lines:
        return "Not judged, neither before nor now."
    return "\n\n".join([*(flipped or ["No verdict flips."]), header + "\n".join(lines)])


def _belief(values: dict[str, Any], place: str) -> str:
    said = verdict(values, place)
    return f"{said} ({values[f'{place}.posterior']:.0%})" if said else "–"


def _shown(value: object, ends: Ends | None = None) -> str:
    """A number to four digits, or to two of the width of its interval; lines end before that."""
    if value is None:
        return "–"
    if not isinstance(value, float) and not ends:
        return str(value)
    width = ends[1] - ends[0] if ends else 0.0
    decimals = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 0
    style = f".{decimals}f" if 1e-6 < width < 1e6 else ".4g"
    text = format(value, style)
    if ends:
        text += f" [{format(ends[0], style)},\xa0{format(ends[1], style)}]"
    return _minus(text)


def _cell(value: object) -> str:
    """A setting in a table, where a bar or the end of a line would end its cell."""
    return " ".join(_shown(value).split()).replace("|", "\\|")


def _minus(text: str) -> str:
    """With the true minus sign, behind which no line ends."""
    return text.replace("-", "−")
