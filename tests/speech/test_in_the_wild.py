"""A disk as people have it: public corpora side by side, a Mac's names, and damaged files."""

import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from mimi_dynamics.speech.ingestion import ingest_corpora
from mimi_dynamics.speech.summary import overview, summarise, voice_table
from tests.harness.audio_files import ingest_params, tone
from tests.harness.layouts import Voices
from tests.harness.wild_tree import JOSE, NAMES, write_no_sound, write_tree

Tree = tuple[Path, Voices, set[str]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """All of it: the folder, the voice of each recording, and what is damaged."""
    root = tmp_path_factory.mktemp("wild") / "my disk"
    voices = write_tree(root, lambda number: (tone(0.25, 200 + 7 * number, 16_000), 16_000))
    return root, voices, write_no_sound(root)


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
