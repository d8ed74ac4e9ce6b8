"""Recordings that become several clips, or are mended: ids, splits, files, and what is noted."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from mimi_dynamics.speech.audio import Limits, read_parts
from mimi_dynamics.speech.ingestion import ingest_with_notes
from mimi_dynamics.speech.notes import count_notes, note_lines
from mimi_dynamics.speech.pauses import quietest
from tests.harness.audio_files import encode_as, ingest_params, write_sound, write_voices
from tests.harness.speechlike import speechlike

RATE = 24_000
PAUSE = np.zeros(RATE // 2, np.float32)


def book(sentences: int, seed: int = 0) -> np.ndarray:
    """Sentences of 1.2 s with pauses of half a second between them, as of an audiobook."""
    parts = [part for n in range(sentences) for part in (speechlike(1.2, seed + n), PAUSE)]
    return np.concatenate(parts[:-1]) + 1e-4


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("max_seconds", [5.5, 7.0, 9.0])
def test_long_recordings_are_cut_in_their_pauses(
    tmp_path: Path, channels: int, max_seconds: float
) -> None:
    whole = book(12)
    path = write_sound(tmp_path / "a.wav", np.tile(whole[:, None], (1, channels)))
    parts = list(read_parts(path, Limits(max_seconds, 1.0, cut_long=True)))
    np.testing.assert_allclose(np.concatenate([part.sound for part in parts]), whole, atol=1e-4)
    assert all(1.0 <= part.seconds <= max_seconds for part in parts)
    assert all(part.seconds > max_seconds / 2 for part in parts[:-1])
    assert {part.notes for part in parts} == {("long",)}
    for part in parts[1:]:
        at = round(part.start * RATE)
        assert np.abs(whole[at - 1_000 : at + 1_000]).max() < 0.001  # in the middle of a pause


def test_what_has_no_pause_is_cut_all_the_same(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    path = write_sound(tmp_path / "a.wav", noise)
    parts = list(read_parts(path, Limits(2.0, 1.5, cut_long=True)))
    assert sum(part.sound.size for part in parts) == noise.size
    assert all(part.seconds <= 2.0 for part in parts)


@pytest.mark.parametrize("samples", [0, 100, 7_200, 7_300])
def test_a_cut_lies_within_what_there_is(samples: int) -> None:
    assert 0 <= quietest(np.zeros((1, samples), np.float32), RATE) <= samples


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_memory_does_not_grow_with_the_recording(tmp_path: Path, rate: int) -> None:
    """Of which a part of 4 s takes 1.5 MB at most."""
    most = []
    for seconds in (30, 120):
        path = tmp_path / f"{seconds}.wav"
        noise = np.random.default_rng(0).integers(-999, 999, seconds * rate, np.int16)
        soundfile.write(path, noise, rate)
        tracemalloc.start()
        for _ in read_parts(path, Limits(4.0, 1.0, cut_long=True)):
            pass
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < 1.2 * most[0]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whole recordings of two voices beside some that are not."""
    monkeypatch.chdir(tmp_path)
    root = write_voices(tmp_path / "speech")
    write_sound(root / "voice0" / "book.wav", book(6))
    content = encode_as("aac", speechlike(4.0, 99))
    middle = len(content) // 2
    (root / "voice1" / "hole.aac").write_bytes(
        content[:middle] + bytes(1_000) + content[middle + 1_000 :]
    )
    write_sound(root / "voice1" / "inverted.wav", np.outer(speechlike(1.0, 7), [1, -0.9]))
    write_sound(root / "voice1" / "too long pause.wav", np.concatenate([PAUSE] * 20))
    return root


def ingest(root: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    params = ingest_params(
        folder={"path": str(root)}, max_seconds=4.0, min_seconds=0.25, cut_long=True
    )
    return ingest_with_notes(params, Path("data/audio"))


def test_pieces_are_clips_of_one_split_and_are_noted(corpus: Path) -> None:
    manifest, rejected, notes = ingest(corpus)
    clips = manifest.set_index("clip_id")
    pieces = [name for name in clips.index if "/book.wav-" in name]
    assert pieces == [f"folder/voice0/book.wav-{n:04d}" for n in range(1, len(pieces) + 1)]
    assert len(pieces) >= 3
    assert clips.loc[pieces, "split"].nunique() == 1
    assert clips.loc[pieces, "sha256"].nunique() == 1
    assert manifest["clip_id"].is_monotonic_increasing
    assert {path.as_posix() for path in Path("data/audio").rglob("*.flac")} == set(clips["path"])
    for name, clip in clips.iterrows():
        assert soundfile.info(clip["path"]).duration == pytest.approx(clip["seconds"]), name
    assert rejected.to_numpy().tolist() == [["folder/voice1/too long pause.wav", "silent"]]
    of_hole = notes[notes["name"] == "folder/voice1/hole.aac"]
    assert of_hole["note"].tolist() == ["", "damaged", ""]
    assert of_hole["clip_id"].tolist() == [
        "folder/voice1/hole.aac-0001",
        "",
        "folder/voice1/hole.aac-0002",
    ]
    ends = of_hole["start_seconds"] + of_hole["seconds"]
    np.testing.assert_allclose(of_hole["start_seconds"].iloc[1:], ends.iloc[:-1], atol=0.002)
    of_inverted = notes[notes["name"] == "folder/voice1/inverted.wav"]
    assert of_inverted[["clip_id", "note"]].to_numpy().tolist() == [
        ["folder/voice1/inverted.wav", "inverted channel 2"]
    ]
    assert notes["name"].nunique() == 3
    assert set(notes["clip_id"]) - {""} <= set(clips.index)


def test_notes_are_counted_and_told(corpus: Path) -> None:
    _, _, notes = ingest(corpus)
    counts = count_notes(notes)
    assert counts["files"] == 3
    assert (counts["damaged"], counts["long"], counts["inverted_channel"]) == (1, 1, 1)
    assert counts["gap"] == counts["track"] == 0
    assert 0.1 < counts["missing_seconds"] < 1
    assert "1  damaged           folder/voice1/hole.aac" in note_lines(notes)
    assert note_lines(notes.iloc[:0]) == ""


def test_a_file_with_the_name_of_a_piece_stays_itself(corpus: Path) -> None:
    before, _, _ = ingest(corpus)
    (corpus / "voice0" / "take00.wav").rename(corpus / "voice0" / "book.wav-0002")
    after, _, _ = ingest(corpus)
    assert len(after) == len(before)
    assert after["clip_id"].is_unique
    assert after["path"].is_unique
    assert "folder/voice0/book.wav-0002-0000" in set(after["clip_id"])


def test_long_recordings_are_rejected_if_that_is_asked_for(corpus: Path) -> None:
    params = ingest_params(folder={"path": str(corpus)}, max_seconds=4.0)
    _, rejected, _ = ingest_with_notes(params, Path("data/audio"))
    assert ["folder/voice0/book.wav", "too_long"] in rejected.to_numpy().tolist()
