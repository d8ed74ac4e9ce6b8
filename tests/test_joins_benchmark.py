"""The benchmark makes files that are two recordings, knows where, and counts what is told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from joins import (
    FORMATS,
    Found,
    cells,
    in_a_room,
    is_cut,
    length,
    measure,
    read,
    read_prompts,
    without_beginning,
)
from mimi_dynamics.speech import joins
from mimi_dynamics.speech.audio import write_flac
from tests.harness.speechlike import speechlike

RATE = 24_000


@pytest.mark.parametrize("kind", FORMATS, ids=str)
def test_files_hold_all_the_sound_and_do_not_say_who_wrote_them(kind: object) -> None:
    content = kind.encode(speechlike(2.0, 1))
    assert not any(name in content for name in (b"Lavc", b"Lavf", b"Xing", b"Info"))
    assert len(content) == pytest.approx(2.0 * kind.kbits * 125, rel=0.2)
    ((clip,),) = read([content], kind.container)
    assert clip.seconds == pytest.approx(2.0, abs=0.15)


def test_joins_of_mp3_are_told_where_they_are() -> None:
    kind = next(kind for kind in FORMATS if kind.container == "mp3")
    sounds = [speechlike(4.0, seed) for seed in range(4)]
    found = measure(kind, sounds)
    assert (found.told, found.joins, found.cuts) == (2, 2, 0)
    assert found.seconds == pytest.approx(16.0, abs=0.4)
    alone, both = read([kind.encode(sounds[0]), b"".join(map(kind.encode, sounds[:2]))], "mp3")
    place = length(alone)
    assert is_cut(both, place)
    assert not is_cut(both, place + 0.2)
    assert not is_cut(alone, place)


@pytest.mark.parametrize("kind", FORMATS, ids=str)
@pytest.mark.parametrize("together", [joins.TOGETHER, 5])
def test_joins_in_the_noise_of_a_room_are_told(
    kind: object, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None within a recording, and, but for MP2, those with one that begins in speech as well.

    So it is however many packets are looked at in one go.
    """
    monkeypatch.setattr(joins, "TOGETHER", together)
    pause = np.zeros(RATE // 2, np.float32)
    spoken = [np.concatenate([pause, speechlike(6.0, seed), pause]) for seed in range(4)]
    sounds = [*map(in_a_room, spoken, range(4))]
    files = [kind.encode(sound) for sound in sounds]
    alone = read(files, kind.container)
    assert not any(is_cut(clips, clip.start) for clips in alone for clip in clips[1:])
    begun = [kind.encode(without_beginning(sound)) for sound in sounds]
    pairs = [files[0] + files[1], files[2] + begun[3]]
    whole = read(pairs, kind.container)
    told = [is_cut(clips, length(alone[n])) for clips, n in zip(whole, (0, 2), strict=True)]
    assert told[0]
    assert told[1] or kind.container == "mp2"


def test_cells_have_shares_with_intervals_and_cuts_by_the_hour() -> None:
    assert [*cells(Found(told=8, abrupt=0, joins=10, cuts=3, seconds=1200.0))] == [
        "80 % (49 to 94)",  # of tables of Wilson's interval
        "0 % (0 to 28)",
        "9 (3)",
    ]


def test_a_beginning_in_speech_is_where_it_is_loudest() -> None:
    sound = np.concatenate([np.zeros(RATE), np.full(RATE, 0.5), np.zeros(2 * RATE)])
    assert np.array_equal(without_beginning(sound), sound[RATE:])
    assert np.array_equal(without_beginning(sound[:4_000]), sound[:4_000])


def test_noise_of_a_room_is_as_loud_as_the_page_says() -> None:
    noise = in_a_room(np.zeros(RATE, np.float32), 0)
    assert 10 * np.log10(np.square(noise).mean()) == pytest.approx(-60.0, abs=0.1)


def test_prompts_are_those_of_the_splits_for_so_many_minutes(tmp_path: Path) -> None:
    rows = []
    for number, split in enumerate(["train", "test", "test", "test", "validation"]):
        path = tmp_path / "audio" / f"{number}.flac"
        path.parent.mkdir(exist_ok=True)
        write_flac(path, np.full(RATE, number, np.int16))
        rows.append([f"{number}", split, f"data/audio/{number}.flac", 1.0])
    names = ["clip_id", "split", "path", "seconds"]
    pd.DataFrame(rows, columns=names).to_parquet(tmp_path / "manifest.parquet")
    audio = tmp_path / "audio"
    whose = [round(float(s[0]) * 2**15) for s in read_prompts(audio, ["test"], 9.0, 0.0)]
    assert sorted(whose) == [1, 2, 3]
    assert len(read_prompts(audio, ["test"], 2.5 / 60, 0.0)) == 2
    assert len(read_prompts(audio, ["test"], 9.0, 1.5 / 60)) == 2
