"""What `ingest` found, counted: for the metrics, for plots/voices.csv, and as text for a person."""

import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import pandas as pd

from mimi_dynamics.pipeline.conventions import SPLITS

REASONS = (
    "bad_rate",
    "duplicate",
    "empty",
    "link",
    "near_duplicate",
    "not_audio",
    "not_finite",
    "silent",
    "too_long",
    "too_short",
    "too_slow",
    "undecodable",
)
SHOWN_VOICES = 17
SHOWN_REASONS = 12
FEW_CLIPS = 20  # of test; the default corpus has 127
COLUMNS = 100  # The text is at most this wide on a screen.


def summarise(manifest: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, Any]:
    """Count the clips, hours and voices of a manifest, and the rejected files by reason.

    Args:
        manifest: what `ingest_corpora` gave.
        rejected: what `ingest_corpora` gave.
    """
    return {
        "clips": len(manifest),
        "hours": _hours(manifest),
        "voices": manifest["voice"].nunique(),
        "corpora": {
            str(corpus): {"hours": _hours(clips)} for corpus, clips in manifest.groupby("corpus")
        },
        "near_duplicates": near_duplicates(manifest, rejected),
        "splits": {split: _size(manifest[manifest["split"] == split]) for split in SPLITS},
        "rejected": {
            "total": len(rejected),
            **{reason: int((rejected["reason"] == reason).sum()) for reason in REASONS},
        },
    }


def near_duplicates(manifest: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, int]:
    """Count the clips that share their performance with another clip, and those left out for it."""
    shared = repeated(manifest)
    return {
        "clips": len(shared),
        "performances": shared["performance"].nunique(),
        "rejected": int((rejected["reason"] == "near_duplicate").sum()),
    }


def repeated(manifest: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of a manifest whose performance is that of another row too."""
    return manifest[manifest.duplicated("performance", keep=False)]


def _size(clips: pd.DataFrame) -> dict[str, float]:
    return {"clips": len(clips), "hours": _hours(clips)}


def _hours(clips: pd.DataFrame) -> float:
    return float(clips["seconds"].sum()) / 3600


def voice_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Count the clips and hours of each voice.

    This is a table rather than part of the metrics, since a corpus may have thousands of voices.

    Returns:
        Columns `voice`, `clips` and `hours`.
    """
    rows = [{"voice": str(v), **_size(clips)} for v, clips in manifest.groupby("voice")]
    return pd.DataFrame(rows, columns=["voice", "clips", "hours"])


def overview(manifest: pd.DataFrame, rejected: pd.DataFrame) -> str:
    """Tell a person what was found, in at most 40 lines of at most 100 columns.

    Names stand at the end of each line, so that the numbers before them stay in their columns
    however wide the letters of a name are, and whichever way they are read.

    Args:
        manifest: what `ingest_corpora` gave.
        rejected: what `ingest_corpora` gave.
    """
    lines = list(_voice_lines(manifest))
    of_test = int((manifest["split"] == "test").sum())
    if of_test < FEW_CLIPS:
        lines.append(f"{_counted(of_test, 'clip')} of test: too few for intervals that say much")
    lines += ["", *_rejected_lines(rejected)]
    shared = repeated(manifest)
    if len(shared):
        count = _counted(shared["performance"].nunique(), "performance")
        in_first = shared["performance"] == shared["performance"].iloc[0]
        clips = _counted(len(shared), "clip")
        lines += ["", f"{clips} of {count}, each of which is in one split only, such as"]
        lines += [f"  {name}" for name in shared.loc[in_first, "clip_id"].iloc[:2]]
    return "\n".join(_cut(line, COLUMNS) for line in lines)


def tell(text: str) -> None:
    """Print a text, with escapes for what the screen has no characters for."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _voice_lines(manifest: pd.DataFrame) -> Iterator[str]:
    """List the voices with the most speech, with how many of their clips are in each split."""
    counts = manifest.groupby(["voice", "split"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=list(SPLITS), fill_value=0)
    seconds = manifest.groupby("voice")["seconds"].sum()
    unit, scale, digits = ("hours", 3600, 2) if seconds.sum() >= 3600 else ("minutes", 60, 1)
    # Of voices with as much speech, the first by name comes first.
    spoken = (seconds / scale).sort_values(ascending=False, kind="stable")
    yield _voice_line(unit, [*SPLITS], "voice (clips of each split)")
    for voice in spoken.index[:SHOWN_VOICES]:
        yield _voice_line(f"{spoken[voice]:,.{digits}f}", counts.loc[voice].tolist(), str(voice))
    rest = spoken.index[SHOWN_VOICES:]
    if len(rest):
        name = f"… and {len(rest):,} more"
        total = f"{spoken[rest].sum():,.{digits}f}"
        yield _voice_line(total, counts.loc[rest].sum().tolist(), name)
    voices = f"in all, {_counted(len(spoken), 'voice')}"
    yield _voice_line(f"{spoken.sum():,.{digits}f}", counts.sum().tolist(), voices)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + "s" * (number != 1)


def _voice_line(spoken: str, clips: list[Any], voice: str) -> str:
    numbers = [count if isinstance(count, str) else f"{count:,}" for count in clips]
    return f"{spoken:>10}" + "".join(f"{number:>12}" for number in numbers) + f"  {voice}"


def _rejected_lines(rejected: pd.DataFrame) -> Iterator[str]:
    """List the reasons for which files were rejected, with the first file of each."""
    if rejected.empty:
        yield "no file was rejected"
        return
    yield f"{_counted(len(rejected), 'file')} rejected, all of which data/rejected.csv lists:"
    counts = rejected.groupby("reason").size().sort_values(ascending=False, kind="stable")
    for reason in counts.index[:SHOWN_REASONS]:
        first = rejected.loc[rejected["reason"] == reason, "name"].iloc[0]
        yield f"{counts[reason]:>10,}  {reason:<12}  {first}"
    rest = counts.iloc[SHOWN_REASONS:]
    if len(rest):
        yield f"{rest.sum():>10,}  for {len(rest)} other reasons"


def _cut(line: str, columns: int) -> str:
    """Shorten a line to so many columns on a screen, with an ellipsis where something is left out.

    A character of East Asian scripts takes two columns, and an accent of its own takes none.
    """
    if sum(_width(character) for character in line) <= columns:
        return line
    used, kept = 0, ""
    for character in line:
        used += _width(character)
        if used > columns - 1:
            break
        kept += character
    return f"{kept}…"


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
