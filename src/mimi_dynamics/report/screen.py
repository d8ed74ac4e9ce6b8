"""Parts of the closing screen: headline and counts as lines of `WIDTH` columns."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mimi_dynamics.pipeline.metrics import HEADLINES, detail_path, headline_keys
from mimi_dynamics.report.differences import Ends, Row, settings_changes
from mimi_dynamics.report.formatting import UNITS, bracketed, decimal

WIDTH = 100
NAME, CELL = 28, 23  # widths of the columns of the headline; its readings have what is left
VALUE = 6  # width of a number within its cell, so that intervals stand below one another
MOST_SETTINGS = 6  # that are named; a run with everything else is another experiment
SAME, NOISE, OUTSIDE, DIFFERS = "same", "within noise", "outside its interval", "differs"
LISTING = "`.venv/bin/python tools/metrics_report.py HEAD`"


class Figure(NamedTuple):
    """A number of the headline that the closing screen shows.

    Attributes:
        stage: the stage that measures it.
        key: its dotted key in `metrics/detail/<stage>.json`.
        name: what it is, in at most `NAME` characters.
        unit: how it is written, a key of `formatting.UNITS`.
    """

    stage: str
    key: str
    name: str
    unit: str = "nats"


GAIN = "dynamic_gain_nats_per_dim"
FIGURES = (
    Figure("ingest", "hours", "hours of speech"),
    Figure("reconstruct", "test.codec.log_mel", "log-mel distance after codec"),
    Figure("controls", "worst_recovered", "known gain found, at least", "share"),
    Figure("controls", "worst_null_nats_per_dim", "found where none is, worst"),
    Figure("predict", "gain_nats_per_dim", "gain at horizon"),
    Figure("predict", GAIN, "dynamic gain at horizon"),
    Figure("predict", f"test_voice.{GAIN}", "the same, held-out voice"),
    Figure("horizons", f"k1.{GAIN}", "dynamic gain, 1 frame ahead"),
    Figure("horizons", f"k2.{GAIN}", "dynamic gain, 2 frames ahead"),
    Figure("codec_table", "codec.speech_borne_gain_nats_per_dim", "speech-borne gain"),
    Figure("codec_table", f"untrained.{GAIN}", "dynamic, untrained encoder"),
    Figure("rollout", "k1.skill.rollout", "skill, 1 frame ahead"),
    Figure("rssm", "ease_above_frontier", "ease of state over frontier"),
    Figure("rssm", "fidelity_r2", "fidelity of the state, R²"),
    Figure("engram", "z_dyn.help_over_shuffled_keys_nats_per_frame", "memory over shuffled keys"),
    Figure("engram", "z_dyn.help_nats_per_frame", "memory over a dense model"),
    Figure("calm", "ratio.energy_score", "energy score, ours / CALM's"),
    Figure("calm", "ratio.train_flops_to_equal_energy_score", "training cost, ours / CALM's"),
)


def reading(row: Row) -> str:
    """Say in words how a number that is there twice differs."""
    if row.old == row.new:
        return SAME
    if not row.reading():
        return NOISE
    return OUTSIDE if row.has_interval else DIFFERS


def paragraph(text: str) -> list[str]:
    """Break a text into lines; a path or a command longer than a line stays whole."""
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def headline_lines(rows: Mapping[tuple[str, str], Row], beside: bool) -> list[str]:
    """Write the figures of the headline that were measured, with their 95 % intervals.

    Args:
        rows: all numbers by stage and key, those of the commit before and those here now.
        beside: whether to write those of the commit, and how they differ, beside those here.
    """
    lines = [
        _headline_line("Headline, gains in nats", "mine, 95 % interval", "committed", "", beside)
    ]
    for figure in FIGURES:
        row = rows.get((figure.stage, figure.key))
        if row is None or row.new is None:
            continue
        mine = _cell(row.new, row.new_ends, figure.unit)
        theirs = _cell(row.old, row.old_ends, figure.unit)
        said = reading(row) if row.paired else "new"
        lines.append(_headline_line(figure.name, mine, theirs, said, beside))
    return lines if len(lines) > 1 else []


def _headline_line(name: str, mine: str, theirs: str, said: str, beside: bool) -> str:
    line = f"{name:<{NAME}}  {mine:<{CELL}}"
    return (f"{line}  {theirs:<{CELL}}  {said}" if beside else line).rstrip()


def _cell(value: float | str | None, ends: Ends | None, unit: str) -> str:
    if value is None:
        return f"{'–':>{VALUE}}"
    if isinstance(value, str):
        return textwrap.shorten(value, CELL, placeholder="…")
    scale, digits, suffix = UNITS[unit]
    text = f"{decimal(scale * value, digits) + suffix:>{VALUE}}"
    if ends:
        text += f" {bracketed((scale * end for end in ends), digits)}"
    return text if len(text) <= CELL else f"{value:.4g}"


def counts_lines(rows: Sequence[Row], commit: str, expected: bool) -> list[str]:
    """Write how many numbers differ, and which of the headline left their interval.

    Args:
        rows: all numbers, those of the commit before and those here now.
        commit: its name.
        expected: whether they are expected to differ; the headline's are then not named.
    """
    readings = {(row.path, row.key): reading(row) for row in rows if row.paired}
    count = Counter(readings.values())
    only = Counter(row.reading() for row in rows if not row.paired)
    lines = paragraph(
        f"Of {len(readings):,} numbers in both, {count[SAME]:,} are the same and "
        f"{count[NOISE]:,} differ within their 95 % interval or by less than a thousandth. "
        f"{count[OUTSIDE]:,} left their interval; "
        f"{count[DIFFERS]:,} have no interval and differ by more."
    )
    if only["new"] or only["gone"]:
        lines += paragraph(f"{only['new']:,} are only here, {only['gone']:,} only in {commit}.")
    moved = count[OUTSIDE] + count[DIFFERS]
    if not moved or expected:
        return lines
    for said, title in (
        (OUTSIDE, "Left their interval"),
        (DIFFERS, "Without interval and differing by more"),
    ):
        names = [name for name, place in _headline() if readings.get(place) == said]
        moved -= len(names)
        if names:
            lines += paragraph(f"{title}, of the headline: {'; '.join(names)}.")
    return lines + (paragraph(f"{moved:,} more in the detail: {LISTING}.") if moved else [])


def _headline() -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield name, file and key of every headline number; verdicts have lines of their own."""
    named = {(figure.stage, figure.key): figure.name for figure in FIGURES}
    for stage in HEADLINES:
        for key in headline_keys(stage):
            if stage != "bets" and not key.endswith(("_ci_low", "_ci_high")):
                name = named.get((stage, key), f"{stage} {key}")
                yield name, (detail_path(stage).as_posix(), key)


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """List settings by dotted key that differ, with both values where they are not lists.

    Args:
        old: settings of the commit, by dotted key and number in a list.
        new: settings here.
    """
    said = {}
    for key in sorted(settings_changes(old, new)):
        setting = re.sub(r"(\.\d+)+$", "", key)
        scalar = setting == key and key in old and key in new
        said[setting] = f"{setting} = {new[key]} (was {old[key]})" if scalar else setting
    texts = list(said.values())
    more = [f"{len(texts) - MOST_SETTINGS} more"] if len(texts) > MOST_SETTINGS else []
    return ", ".join(texts[:MOST_SETTINGS] + more)
