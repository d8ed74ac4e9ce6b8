"""A measurement as text, in lines of at most 100 columns."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from mimi_dynamics.evidence.power import GAINS
from mimi_dynamics.measurement.efforts import EFFORTS
from mimi_dynamics.report.formatting import (
    bracketed,
    compared,
    counted,
    decimal,
    percent,
    words,
)
from mimi_dynamics.report.metrics_file import Measured, measured

WIDTH = 100
NAME, CELL = 20, 22  # widths of columns
NATS_PER_BIT = math.log(2)
VISIBLE = "visible: the smallest gain planted into shuffled frames that a linear model saw"
LEVEL = 0.005  # nats per dimension: a learning curve that rises by less has levelled off


def table_of(of: Mapping[str, Any]) -> str:
    """Write the table.

    Args:
        of: what `Measurement.to_dict` gives.
    """
    parts = [
        first_lines(of),
        gain_lines(of),
        trust_lines(of),
        control_lines(of),
        [f"- {note}" for note in of["notes"]],
    ]
    wrapped = [[line for text in part for line in wrapped_text(text)] for part in parts if part]
    return "\n\n".join("\n".join(part) for part in wrapped)


def wrapped_text(text: str) -> list[str]:
    """Break a sentence into lines; a line of a table fits as it is."""
    return [text] if len(text) <= WIDTH else textwrap.wrap(text, WIDTH, break_long_words=False)


def first_lines(of: Mapping[str, Any]) -> list[str]:
    """Say what was measured, and how hard it was tried."""
    latents, rate = of["latents"], of["frame_rate"]
    hours = f" at {rate:g} a second ({latents['frames'] / rate / 3600:.2f} hours)" if rate else ""
    groups = f" of {counted(latents['groups'], 'group')}" if "groups" in latents else ""
    lines = [
        f"{latents['latents']}: {counted(latents['clips'], 'clip')}{groups}, "
        f"{latents['frames']:,} frames of {counted(latents['dim'], 'dimension')}{hours}"
    ]
    if latents["components"] < latents["dim"]:
        lines.append(
            f"{latents['components']} principal components keep "
            f"{percent(latents['variance_kept'])} of the variance; all that follows is of these"
        )
    counts = ", ".join(
        f"{split.replace('_', ' ')} {latents[f'{split}_clips']}"
        for split in ("train", "validation", "test", "test_voice")
        if f"{split}_clips" in latents
    )
    lines.append(f"clips: {counts}; effort {of['effort']}: {EFFORTS[of['effort']].words}")
    return lines


def gain_lines(of: Mapping[str, Any]) -> list[str]:
    """Write the gains by horizon, and of the nearest one the rate in bits."""
    header, rows = gain_rows(of)
    lines = aligned([["nats per dimension", *header[1:]], *rows], (NAME, CELL, CELL, CELL, 5, 0))
    rate, nearest = of["frame_rate"], next(iter(of["horizons"].values()))
    if rate:
        gain = measured(nearest, "dynamic_gain_nats_per_dim")
        scale = of["latents"]["components"] * rate / NATS_PER_BIT
        ends = bracketed((scale * gain.low, scale * gain.high), 0)
        lines.append(
            f"The first of these dynamic gains is {decimal(scale * gain.value, 0)} bit/s {ends}."
        )
    return [*lines, VISIBLE]


def gain_rows(of: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Give the table of gains: its header, and its rows on test and on a held-out voice."""
    header = ["lead", "gain", "shuffled", "dynamic gain", "R²", "visible"]
    horizons, rate = of["horizons"], of["frame_rate"]
    rows = [gain_row(int(k), found, rate) for k, found in horizons.items()]
    rows += [
        gain_row(int(k), found["test_voice"], None, ", new voice")
        for k, found in horizons.items()
        if "test_voice" in found
    ]
    return header, rows


def gain_row(k: int, found: Mapping[str, Any], rate: float | None, who: str = "") -> list[str]:
    """Write the gains of one horizon, each with its 95 % interval."""
    lead = f", {decimal(1000 * k / rate, 0)} ms" if rate else who
    numbers = [
        with_ends(measured(found, f"{name}_nats_per_dim"))
        for name in ("gain", "shuffled_gain", "dynamic_gain")
    ]
    key = "smallest_gain_seen_nats_per_dim"
    seen = "" if who else f"> {GAINS[-1]:g}"
    if key in found:
        seen = f"{'≤ ' if found[key] == GAINS[0] else ''}{found[key]:g}"
    return [f"{counted(k, 'frame')}{lead}", *numbers, decimal(found["r2"], 2), seen]


def with_ends(of: Measured) -> str:
    """Write a number and its interval."""
    return f"{decimal(of.value)} {bracketed((of.low, of.high), 3)}"


def aligned(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Write rows in columns of these widths."""
    return [
        "".join(f"{of} ".ljust(width) for of, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def trust_lines(of: Mapping[str, Any]) -> list[str]:
    """Say whether more data would find more, and how well the density knows what it knows."""
    curve, calibration = of["learning_curve"], of["calibration"]
    gains = [
        f"{decimal(curve[part]['gain_nats_per_dim'])} with {name} of train"
        for part, name in (("quarter", "a quarter"), ("half", "half"), ("all", "all"))
    ]
    rise = measured(curve, "rise_nats_per_dim")
    told = compared(
        rise,
        below="it does not rise",
        undecided="it does not rise any more that could be seen",
        above="it still rises, so more data would find more"
        if rise.value > LEVEL
        else "it has all but levelled off",
    )
    covered = [
        f"{said} % regions hold {percent(calibration[f'region_{said}'])}" for said in (50, 90)
    ]
    return [
        f"Learning curve: {', '.join(gains)}; {told} (the last step: {with_ends(rise)}).",
        f"Calibration of {of['head']}: {', '.join(covered)} of test frames.",
    ]


def control_lines(of: Mapping[str, Any]) -> list[str]:
    """Write what was found of processes with known answers."""
    header = ["controls of the same size", "true", "found", "recovered"]
    return aligned([header, *control_rows(of)], (NAME + 6, 9, CELL + 1, 0))


def control_rows(of: Mapping[str, Any]) -> list[list[str]]:
    """Write the true and the found gain of each control."""
    rows = []
    for name, found in of["controls"].items():
        true, got = found["true_nats_per_dim"], measured(found, "found_nats_per_dim")
        share = percent(got.value / true) if true else "none is there"
        rows.append([words(name), decimal(true), with_ends(got), share])
    return rows
