"""The table at the end of `ingest`: whole for few voices, short for many, narrow for any name."""

import io
import sys
import unicodedata

import pandas as pd
import pytest

from mimi_dynamics.speech.summary import (
    near_duplicates,
    overview,
    summarise,
    tell,
    voice_table,
)


def manifest_of(voices: dict[str, int]) -> pd.DataFrame:
    """Clips of 36 s, every fourth of them held out for validation."""
    rows = [
        {
            "clip_id": f"{voice}/{clip}",
            "voice": voice,
            "performance": f"{voice}/{clip}",
            "seconds": 36.0,
            "split": "train" if clip % 4 else "validation",
        }
        for voice, clips in voices.items()
        for clip in range(clips)
    ]
    return pd.DataFrame(rows)


def rejected_of(**counts: int) -> pd.DataFrame:
    rows = [
        {"name": f"folder/{reason}/{number}.wav", "reason": reason}
        for reason, count in counts.items()
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=["name", "reason"])


def columns(line: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in line)
    return len(line) + wide


def test_voices_are_listed_by_hours_with_their_splits() -> None:
    lines = overview(manifest_of({"ann": 4, "bob": 1_200}), rejected_of()).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["12.00", "900", "300", "0", "0", "bob"],
        ["0.04", "3", "1", "0", "0", "ann"],
        ["12.04", "903", "301", "0", "0", "in", "all,", "2", "voices"],
    ]
    few = "0 clips of test: too few for intervals that say much"
    assert lines[4:] == [few, "", "no file was rejected"]


def test_less_than_an_hour_is_in_minutes_and_enough_of_test_is_not_told() -> None:
    manifest = manifest_of({"ann": 40}).assign(split="test")
    assert overview(manifest, rejected_of()).splitlines()[:3] == [
        "   minutes       train  validation        test  test_voice  voice (clips of each split)",
        "      24.0           0           0          40           0  ann",
        "      24.0           0           0          40           0  in all, 1 voice",
    ]
    assert "too few" not in overview(manifest, rejected_of())


def test_reasons_are_counted_with_a_first_example() -> None:
    text = overview(manifest_of({"ann": 4}), rejected_of(silent=2, too_short=1_100))
    assert "1,102 files rejected" in text
    lines = [line.split() for line in text.splitlines()[-2:]]
    assert lines == [
        ["1,100", "too_short", "folder/too_short/0.wav"],
        ["2", "silent", "folder/silent/0.wav"],
    ]


def test_clips_of_one_performance_are_counted_with_an_example() -> None:
    manifest = manifest_of({"ann": 4})
    assert "performance" not in overview(manifest, rejected_of())
    manifest["performance"] = ["folder/a/0", "folder/a/1", "folder/a/0", "folder/a/3"]
    manifest["clip_id"] = [f"folder/a/{number}" for number in range(4)]
    assert overview(manifest, rejected_of()).endswith(
        "2 clips of 1 performance, each of which is in one split only, such as\n"
        "  folder/a/0\n  folder/a/2"
    )
    counts = near_duplicates(manifest, rejected_of(near_duplicate=3))
    assert counts == {"clips": 2, "performances": 1, "rejected": 3}


def test_thousands_of_voices_and_long_names_fit_a_screen() -> None:
    voices = {f"{'声' * 40}{number}": 1 + number % 3 for number in range(1_249)}
    rejected = rejected_of(**{f"reason{number}": 1 + number for number in range(30)})
    manifest = manifest_of(voices)
    manifest.loc[:1, "performance"] = manifest.loc[0, "clip_id"] = "é" * 200
    lines = overview(manifest, rejected).splitlines()
    assert len(lines) <= 40
    assert max(columns(line) for line in lines) <= 100
    assert any("… and 1,232 more" in line for line in lines)
    assert any("1,249 voices" in line for line in lines)


def test_metrics_of_thousands_of_voices_are_as_many_as_of_one() -> None:
    """VoxCeleb has 1,251 of them; the table of voices has a row for each."""
    sizes = []
    for voices in (1, 1_251):
        manifest = manifest_of({f"id{number:05d}": 1 for number in range(voices)})
        manifest["corpus"] = "folder"
        metrics = summarise(manifest, rejected_of())
        assert metrics["voices"] == len(voice_table(manifest)) == voices
        sizes.append(len(str(metrics).split(",")))
    assert sizes[0] == sizes[1] < 40


def test_names_with_accents_of_their_own_are_not_cut_too_early() -> None:
    name = unicodedata.normalize("NFD", "é" * 38)
    assert name in overview(manifest_of({name: 1}), rejected_of())


def test_a_screen_without_the_letters_shows_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    tell("голос")
    assert screen.buffer.getvalue().startswith(b"\\u0433")
