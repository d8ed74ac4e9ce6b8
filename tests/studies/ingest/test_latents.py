"""Latents on disk become clips of the pipeline: the same whatever their format."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mimi_dynamics.latents.store import LATENT_KIND, read_latents
from mimi_dynamics.own_latents.listing import read_own
from mimi_dynamics.own_latents.pieces import GAP_FRAMES, LONGEST_PIECE
from mimi_dynamics.own_latents.storing import store
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.without_audio import (
    ENCODER_ALONE,
    OWN_CODEC,
    has_audio,
    has_decoder,
)
from mimi_dynamics.studies.ingest.latents import ingest_latents
from tests.harness.audio_files import ingest_params
from tests.harness.own_latents import Clips, planted, write_npz, write_store

CLIPS = planted()


def manifest_of(path: Path, frame_rate: float = 0.0, **changes: Any) -> pd.DataFrame:  # noqa: ANN401
    """What `ingest` makes of latents on disk."""
    own = {"path": str(path), "frame_rate": frame_rate}
    params = ingest_params(corpora=["latents"], latents=own, **changes)
    return ingest_latents(params)[0]


def write_folder(folder: Path, clips: Clips) -> Path:
    for name, clip in clips.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", clip)
    return folder


def test_formats_give_the_same_clips_voices_and_numbers(tmp_path: Path) -> None:
    """But for the names: those of a store are of files, and its voices stand in it."""
    folder = manifest_of(write_folder(tmp_path / "folder", CLIPS))
    archive = manifest_of(write_npz(tmp_path / "own.npz", CLIPS))
    pd.testing.assert_frame_equal(folder, archive)
    assert not has_audio(folder)
    assert folder["clip_id"].tolist() == sorted(CLIPS)
    assert set(folder["voice"]) == {"anna", "ben", "cleo"}
    assert (folder["seconds"] == 120 / 12.5).all()
    of_store = manifest_of(write_store(tmp_path / "store", CLIPS, frame_rate=25))
    assert of_store["clip_id"].tolist() == [name.split("/")[1] for name in sorted(CLIPS)]
    for column in ("sha256", "voice"):
        assert of_store[column].tolist() == folder[column].tolist()
    assert (of_store["seconds"] == 120 / 25).all()
    assert (manifest_of(tmp_path / "store", 50.0)["seconds"] == 120 / 50).all()


def test_splits_are_by_voice_and_name_as_those_of_recordings(tmp_path: Path) -> None:
    """A held-out voice is nowhere else, and nothing else moves when a clip is gone."""
    path = write_npz(tmp_path / "own.npz", CLIPS)
    whole = manifest_of(path, test_voices=["cleo"]).set_index("clip_id")
    assert set(whole["split"]) == {"train", "validation", "test", "test_voice"}
    assert ((whole["voice"] == "cleo") == (whole["split"] == "test_voice")).all()
    gone = dict(list(CLIPS.items())[1:])
    rest = manifest_of(write_npz(tmp_path / "rest.npz", gone), test_voices=["cleo"])
    assert rest["split"].tolist() == whole.loc[rest["clip_id"], "split"].tolist()


def test_voices_and_splits_of_a_table_are_taken(tmp_path: Path) -> None:
    splits = [("train", "validation", "test")[n % 3] for n in range(len(CLIPS))]
    columns = {"clip": list(CLIPS), "voice": [f"v{n % 4}" for n in range(len(CLIPS))]}
    columns |= {"split": splits, "z": [clip.tolist() for clip in CLIPS.values()]}
    kind = pa.list_(pa.list_(pa.float32()))
    table = pa.table(columns).cast(
        pa.schema([(name, kind if name == "z" else pa.string()) for name in columns])
    )
    pq.write_table(table, tmp_path / "own.parquet")
    found = manifest_of(tmp_path / "own.parquet").set_index("clip_id").loc[list(CLIPS)]
    assert found["split"].tolist() == splits
    assert found["voice"].tolist() == columns["voice"]


def test_long_clips_are_cut_and_share_a_split_and_short_ones_are_rejected(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    clips = {f"c{n:02}": random.normal(size=(200, 2)) for n in range(30)}
    clips["long"] = random.normal(size=(2 * LONGEST_PIECE + 1, 2))
    clips |= {"short": random.normal(size=(2, 2)), "nothing": np.zeros((0, 2))}
    own = {"path": str(write_npz(tmp_path / "own.npz", clips)), "frame_rate": 0.0}
    manifest, rejected, _ = ingest_latents(ingest_params(corpora=["latents"], latents=own))
    parts = manifest[manifest["clip_id"].str.startswith("long-")]
    assert parts["clip_id"].tolist() == ["long-0001", "long-0002", "long-0003"]
    assert parts["split"].nunique() == 1
    assert rejected.to_numpy().tolist() == [["nothing", "empty"], ["short", "too_short"]]


def test_one_array_becomes_blocks_with_gaps_on_all_sides(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(20_000, 3)).astype("float32")
    np.save(tmp_path / "own.npy", array)
    manifest = manifest_of(tmp_path / "own.npy")
    assert len(manifest) == 40
    assert set(manifest["voice"]) == {"unknown"}
    assert set(manifest["split"]) == {"train", "validation", "test"}
    assert (manifest["seconds"] == (500 - GAP_FRAMES) / 12.5).all()


def test_latents_are_stored_as_they_are(tmp_path: Path) -> None:
    """What is read back is what was given; nothing is silent, and there is no codec."""
    source = read_own(str(write_npz(tmp_path / "own.npz", CLIPS)))
    manifest = manifest_of(tmp_path / "own.npz")
    metrics = store(source, manifest, tmp_path / "latents", 0.0)
    found = read_latents(tmp_path / "latents")
    assert metrics["frames"] == len(found.values) == 60 * 120
    assert metrics["frames_by_split"].keys() == {"train", "validation", "test"}
    assert not has_decoder(found.info)
    assert found.info["frame_rate"] == 12.5
    assert found.codes.shape == (60 * 120, 0)
    assert not found.gated.any()
    starts = np.cumsum(found.lengths) - found.lengths
    for name, start, length in zip(found.clip_ids, starts, found.lengths, strict=True):
        np.testing.assert_array_equal(found.values[start : start + length], CLIPS[name])


def test_stored_latents_are_clips_again_with_their_voices_and_splits(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz", CLIPS)
    first = manifest_of(path, test_voices=["ben"])
    store(read_own(str(path)), first, tmp_path / "latents", 25.0)
    again = manifest_of(tmp_path / "latents", test_voices=["ben"])
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), first.drop(columns="seconds"))
    assert (again["seconds"] == 120 / 25).all()


def changed(change: str) -> dict[str, np.ndarray]:
    """Latents with one thing wrong with them."""
    clips = {name: clip.copy() for name, clip in CLIPS.items()}
    if change == "few":
        return dict(list(clips.items())[:19])
    for clip in clips.values():
        if change == "constant":
            clip[:, 1] = 5
        if change == "lattice":
            clip[:, 3] = clip[:, 3].round(0)
    if change == "nan":
        clips["ben/ben-03"][17, 2] = np.nan
    return clips


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("few", "19 clips; must be at least 20"),
        ("constant", "constant columns 1; leave them out"),
        ("lattice", "columns 3 have fewer than 257 values"),
        ("nan", "array 'ben/ben-03': frame 17, column 2 is nan"),
    ],
)
def test_what_is_not_fit_ends_in_one_line(tmp_path: Path, change: str, words: str) -> None:
    """And no folder of latents is left."""
    path = write_npz(tmp_path / "own.npz", changed(change))
    with pytest.raises(InputError) as caught:
        store(read_own(str(path)), manifest_of(path), tmp_path / "latents", 0.0)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "latents").exists()


def test_names_that_clash_and_voices_that_are_not_there_are_told(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz", CLIPS)
    with pytest.raises(InputError, match=r"'june' must be one of the voices .* anna, ben, cleo"):
        manifest_of(path, test_voices=["june"])
    with pytest.raises(InputError, match=r"no clip 'anna/anna-00'; run the stage ingest again"):
        store(
            read_own(str(write_npz(tmp_path / "less.npz", dict(list(CLIPS.items())[1:])))),
            manifest_of(path),
            tmp_path / "latents",
            0.0,
        )


@pytest.mark.parametrize(
    ("codec", "rate", "heard"),
    [("mimi-mini", 12.5, True), ("hf:encodec", 75.0, False), (OWN_CODEC, 12.5, False)],
)
def test_only_a_codec_of_frames_of_80_ms_is_heard(codec: str, rate: float, heard: bool) -> None:
    """Sound at another rate could not be laid beside frames, by which stages judge it."""
    kinds = {LATENT_KIND: heard, ENCODER_ALONE: False}
    for kind, expected in kinds.items():
        info = {"codec": codec, "frame_rate": rate, "latent_kind": kind}
        assert has_decoder(info) == expected
