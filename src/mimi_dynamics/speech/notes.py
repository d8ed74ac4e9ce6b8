"""What became of recordings that were not used as they are: cut, mended, or used in part."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import pandas as pd

from mimi_dynamics.speech.conversion import Clip

COLUMNS = ["name", "start_seconds", "seconds", "clip_id", "note"]
MISSING = ("damaged", "gap", "joined")  # Here sound is missing from the recording itself.
MENDED = ("dead channel", "inverted channel", "long", "offset", "track")


def by_recording(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """Yield the clips of one recording after the other, in the order of time."""
    for _, group in groupby(clips, key=lambda clip: clip.recording.name):
        yield list(group)


def rejections(clips: Sequence[Clip]) -> Iterator[tuple[str, str]]:
    """Yield name and reason of each recording of which nothing is used.

    Args:
        clips: what became of recordings, all of one recording in a row.

    If there are several reasons, it is the one for which most of its sound is not used.
    """
    for parts in by_recording(clips):
        if all(part.reason for part in parts):
            heard = [part for part in parts if part.reason not in MISSING] or parts
            yield parts[0].recording.name, max(heard, key=lambda part: part.seconds).reason


def notes_table(clips: Sequence[Clip]) -> pd.DataFrame:
    """Tell what became of each recording that is not used as it is, from its beginning to its end.

    Args:
        clips: what became of recordings, all of one recording in a row.

    Returns:
        A row for each part of such a recording, sorted: its `name`, where the part begins
        (`start_seconds`) and how long it is (`seconds`), the `clip_id` that it became, '' if it
        is not used, and a `note`: why it is not, or what was done to it, such as `offset 0.150`;
        several are separated by `; `. A recording of which nothing is used has no row.
    """
    rows = []
    for parts in by_recording(clips):
        used = [part for part in parts if not part.reason]
        if used and (len(parts) > 1 or used[0].notes):
            rows += [_row(part) for part in parts]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:2], kind="stable")


def _row(part: Clip) -> tuple[str, float, float, str, str]:
    note = part.reason or "; ".join(part.notes)
    start, seconds = round(part.start, 3), round(part.seconds, 3)
    return part.recording.name, start, seconds, "" if part.reason else part.clip_id, note


def count_notes(notes: pd.DataFrame) -> dict[str, float]:
    """Count the recordings that have a note, and those of each kind, for the metrics.

    Args:
        notes: what `notes_table` gave.
    """
    files = _files_by_kind(notes)
    missing = notes.loc[notes["note"].isin(MISSING), "seconds"]
    return {
        "files": notes["name"].nunique(),
        "missing_seconds": float(missing.sum()),
        **{kind.replace(" ", "_"): len(names) for kind, names in files.items()},
    }


def note_lines(notes: pd.DataFrame) -> str:
    """Tell a person how many recordings have a note of each kind, with the first of them.

    Args:
        notes: what `notes_table` gave.
    """
    if notes.empty:
        return ""
    lines = ["", "", "recordings that were cut or mended, all of which data/notes.csv lists:"]
    for kind, names in _files_by_kind(notes).items():
        if names:
            lines.append(f"{len(names):>10,}  {kind:<16}  {names[0]}")
    return "\n".join(lines)


def _files_by_kind(notes: pd.DataFrame) -> dict[str, list[str]]:
    """Give the names of the recordings with a note of each kind."""
    of_each = [set(note.split("; ")) for note in notes["note"]]
    return {
        kind: list(
            dict.fromkeys(
                name
                for name, words in zip(notes["name"], of_each, strict=True)
                if any(word.startswith(kind) for word in words)
            )
        )
        for kind in (*MISSING, *MENDED)
    }
