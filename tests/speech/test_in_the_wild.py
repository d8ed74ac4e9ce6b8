"""A disk as people have it: public corpora side by side, a Mac's names, and damaged files."""

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from mimi_dynamics.speech.ingestion import ingest_corpora
from mimi_dynamics.speech.summary import overview, summarise, voice_table
from tests.harness.audio_files import ingest_params, tone, write_sound
from tests.harness.layouts import LAYOUTS, Voices

JOSE = "josé"
NAMES = (
    unicodedata.normalize("NFD", JOSE),
    "dr.who",
    "dr_who",
    "Anna",
    "anna",
    'o\'brien "red"',
    "lang=en #1",
    "a,b {c}",
    "голос",
    "声",
    "-rf",
    "100%",
)
Tree = tuple[Path, Voices, set[str]]


def write_recording(path: Path, number: int) -> None:
    """Write a tone that no other recording has; TIMIT's are in the format of NIST."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = "NIST" if path.suffix == ".WAV" else None
    soundfile.write(
        path, tone(0.25, 200 + 7 * number, 16_000), 16_000, "PCM_16" if form else None, format=form
    )


def write_damaged(root: Path) -> set[str]:
    """Write what a Mac leaves beside recordings, and what is no sound; gives the names."""
    whole = write_sound(root / "anna" / "whole.wav", tone(0.25, 4_000)).read_bytes()
    (root / "anna" / "whole.wav").unlink()
    files = {
        "anna/._00.wav": b"\0\5\x16\7\0\2\0\0Mac OS X",
        "__MACOSX/anna/._00.wav": b"\0\5\x16\7\0\2\0\0Mac OS X",
        "anna/.DS_Store": b"\0\0\0\1Bud1",
        "anna/empty.wav": b"",
        "anna/header alone.wav": whole[:40],
        "anna/noise.mp3": np.random.default_rng(0).bytes(5_000),
        "anna/page.flac": b"<!doctype html><title>404</title>",
        "anna/notes.pdf": b"%PDF-1.7",
        "README": b"about",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return set(files)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """All of it: the folder, the voice of each recording, and what is damaged."""
    root = tmp_path_factory.mktemp("wild") / "my disk"
    voices = {
        f"{layout}/{name}": voice
        for layout, write in LAYOUTS.items()
        for name, voice in write(root / layout).items()
    }
    voices |= {f"{name}/{number:02d}.wav": name for name in NAMES for number in range(2)}
    for number, name in enumerate(voices):
        write_recording(root / name, number)
    return root, voices, write_damaged(root)


@pytest.fixture(scope="module")
def ingested(
    tree: Tree, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Taken as it is, with no setting but the folder and two voices to hold out."""
    params = ingest_params(folder={"path": str(tree[0])}, test_voices=[JOSE, "0011"])
    return ingest_corpora(params, tmp_path_factory.mktemp("out") / "audio")


def test_every_voice_is_found_without_help(
    tree: Tree, ingested: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    _, voices, damaged = tree
    manifest, rejected = ingested
    found = dict(
        zip(manifest["clip_id"].str.removeprefix("folder/"), manifest["voice"], strict=True)
    )
    assert found == {
        unicodedata.normalize("NFC", name): unicodedata.normalize("NFC", voice)
        for name, voice in voices.items()
    }
    wrong = set(rejected["name"].str.removeprefix("folder/"))
    assert damaged < wrong
    assert not wrong & set(found)


def test_held_out_voices_are_held_out_however_they_are_written(
    ingested: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    manifest, _ = ingested
    held_out = manifest["split"] == "test_voice"
    assert set(manifest["voice"][held_out]) == {JOSE, "0011"}
    assert not manifest["voice"][~held_out].isin([JOSE, "0011"]).any()


def test_an_utterance_of_two_microphones_is_in_one_split(
    ingested: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    manifest, _ = ingested
    both = manifest[manifest["clip_id"].str.contains("_mic")]
    utterances = both["clip_id"].str.replace(r"_mic\d.*", "", regex=True)
    assert len(both) == 2 * utterances.nunique() == 18
    assert (both.groupby(utterances)["split"].nunique() == 1).all()


def test_no_voice_is_lost_in_the_counts_and_no_metric_has_a_name(
    ingested: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    manifest, rejected = ingested
    table = voice_table(manifest)
    assert table["clips"].sum() == len(manifest)
    assert {"dr.who", "dr_who", "Anna", "anna"} < set(table["voice"])
    metrics = summarise(manifest, rejected)
    assert metrics["voices"] == len(table)
    assert not {*NAMES, JOSE} & set(str(metrics).replace("'", " ").split())
    assert "voice" in overview(manifest, rejected)


def test_files_of_clips_have_names_for_any_system(
    ingested: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    manifest, _ = ingested
    paths = manifest["path"].map(lambda path: Path(path).as_posix().rpartition("/audio/")[2])
    assert paths.str.lower().is_unique
    assert paths.map(str.isascii).all()
