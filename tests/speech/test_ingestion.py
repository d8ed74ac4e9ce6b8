"""The stage as a whole: clips, manifest, what is rejected and why, and the same bytes twice."""

import json
import multiprocessing
import os
import shutil
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ingest import ingest
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.limits import CORES_SETTING
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.speech.file_names import file_name
from mimi_dynamics.speech.ingestion import MANIFEST_SCHEMA, ingest_corpora
from mimi_dynamics.speech.summary import summarise
from tests.harness import ROOT
from tests.harness.audio_files import ingest_params, tone, write_sound, write_voices


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that relative paths are those of a repository's top."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def ingest_folder(root: Path, **changes: Any) -> tuple[pd.DataFrame, pd.DataFrame]:  # noqa: ANN401
    """Ingest a folder corpus into data/audio of the current folder."""
    return ingest_corpora(ingest_params(folder={"path": str(root)}, **changes), Path("data/audio"))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_manifest_describes_every_file_written(workplace: Path) -> None:
    manifest, rejected = ingest_folder(write_voices(workplace / "speech"))
    assert list(manifest) == MANIFEST_SCHEMA.names
    assert manifest["clip_id"].is_monotonic_increasing
    assert manifest["clip_id"].is_unique
    assert len(manifest) == 40
    assert rejected.empty
    assert set(manifest["voice"]) == {"voice0", "voice1"}
    assert set(manifest["split"]) == {"train", "validation", "test"}
    assert set(manifest["path"]) == {f"data/audio/{name}" for name in tree(Path("data/audio"))}
    for clip in manifest.itertuples():
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.channels, info.subtype) == (24_000, 1, "PCM_16")
        assert info.frames / 24_000 == clip.seconds
        assert clip.seconds == pytest.approx(0.3, abs=1 / 24_000)


def write_hostile(root: Path) -> dict[str, str]:
    """One broken file of each kind; returns the reason expected for each."""
    nan = tone(0.5, 440)
    nan[100] = np.nan
    outside = write_sound(root.parent / "outside" / "secret.wav", tone(0.5, 777))
    write_sound(root / "bad" / "nan.wav", nan, subtype="FLOAT")
    write_sound(root / "bad" / "one sample.wav", np.full(1, 0.5, np.float32))
    write_sound(root / "bad" / "slow.wav", tone(5, 0.5, 4), 4)
    write_sound(root / "bad" / "quiet.wav", tone(0.5, 440, peak=0.0009))
    write_sound(root / "bad" / "short.wav", tone(0.19, 440))
    write_sound(root / "bad" / "long.wav", tone(2.1, 440))
    write_sound(root / "bad" / "loud.wav", tone(0.5, 333))
    shutil.copy(root / "bad" / "loud.wav", root / "bad" / "same as loud.flac")
    (root / "bad" / "none.wav").touch()
    (root / "bad" / "random.wav").write_bytes(np.random.default_rng(0).bytes(10_000))
    (root / "bad" / "notes.txt").write_text("about these recordings")
    (root / "bad" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "bad" / "link.wav").symlink_to(outside)
    (root / "linked").symlink_to(outside.parent, target_is_directory=True)
    os.mkfifo(root / "bad" / "pipe.wav")
    return {
        "folder/bad/.DS_Store": "not_audio",
        "folder/bad/link.wav": "link",
        "folder/bad/long.wav": "too_long",
        "folder/bad/nan.wav": "not_finite",
        "folder/bad/none.wav": "empty",
        "folder/bad/notes.txt": "not_audio",
        "folder/bad/one sample.wav": "too_short",
        "folder/bad/pipe.wav": "not_audio",
        "folder/bad/quiet.wav": "silent",
        "folder/bad/random.wav": "undecodable",
        "folder/bad/same as loud.flac": "duplicate",
        "folder/bad/short.wav": "too_short",
        "folder/bad/slow.wav": "bad_rate",
        "folder/linked": "link",
    }


@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_every_bad_file_is_listed_with_its_reason(workplace: Path) -> None:
    root = write_voices(workplace / "speech")
    expected = write_hostile(root)
    write_sound(root / "good" / "eight.wav", np.tile(tone(0.5, 440)[:, None], (1, 8)))
    manifest, rejected = ingest_folder(root)
    assert dict(zip(rejected["name"], rejected["reason"], strict=True)) == expected
    assert list(rejected["name"]) == sorted(rejected["name"])
    assert {"folder/good/eight.wav", "folder/bad/loud.wav"} < set(manifest["clip_id"])
    assert len(manifest) == 42
    assert len(tree(Path("data/audio"))) == 42
    metrics = summarise(manifest, rejected)
    assert metrics["rejected"]["total"] == 14
    assert metrics["rejected"]["too_short"] == 2
    assert metrics["clips"] == sum(split["clips"] for split in metrics["splits"].values())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_hostile_names_stay_inside_and_apart(workplace: Path) -> None:
    root = write_voices(workplace / "speech")
    names = ["a\nb.wav", "a\\nb.wav", "é.wav", "e\u0301.wav", "A.wav", "a.wav", "con.wav"]
    names += [
        "..wav",
        "....wav",
        " .wav",
        "-rf.wav",
        "$(id).wav",
        "x" * 250 + ".wav",
        "a.wav.flac/b",
    ]
    paths = [*(os.fsencode(name) for name in names), b"\xff\xfe.wav"]
    for index, name in enumerate(paths):
        source = write_sound(workplace / "one.wav", tone(0.3, 1_000 + 10 * index))
        target = root / "..v" / os.fsdecode(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    manifest, rejected = ingest_folder(root)
    assert rejected["reason"].tolist() == ["not_audio", "not_audio"]  # hidden: `..wav`, `....wav`
    assert len(manifest) == 40 + len(paths) - 2
    assert all(clip_id.isprintable() for clip_id in manifest["clip_id"])
    files = tree(Path("data/audio"))
    assert {f"data/audio/{name}" for name in files} == set(manifest["path"])
    assert len({name.lower() for name in files}) == len(manifest)
    assert all(name.isascii() and len(name) < 200 for name in files)
    assert [path.name for path in Path().iterdir()] == ["data"]
    assert [path.name for path in Path("data").iterdir()] == ["audio"]


@given(st.lists(st.text(), min_size=1, unique=True))
def test_file_names_are_safe_and_unique(clip_ids: list[str]) -> None:
    names = [file_name(clip_id) for clip_id in clip_ids]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.endswith(".flac")
        assert not name.startswith("/")
        assert all(part.strip(".") and len(part) < 100 for part in name.split("/"))
        assert all("." not in part for part in name.split("/")[:-1])


def test_recordings_of_one_prompt_share_a_split(workplace: Path) -> None:
    root = write_voices(workplace / "speech")
    for clip in range(20):
        sound = tone(0.3, 230 + 20 * clip, 16_000)
        write_sound(root / "voice0" / f"take{clip:02d}.flac", sound, 16_000)
    manifest, _ = ingest_folder(root)
    stems = manifest["clip_id"].str.replace(r"\.\w+$", "", regex=True)
    assert len(manifest) == 60
    assert (manifest.groupby(stems)["split"].nunique() == 1).all()


def test_a_held_out_voice_has_a_split_of_its_own(workplace: Path) -> None:
    manifest, _ = ingest_folder(write_voices(workplace / "speech", 3), test_voices=["voice1"])
    held_out = manifest["split"] == "test_voice"
    assert set(manifest["voice"][held_out]) == {"voice1"}
    assert "voice1" not in set(manifest["voice"][~held_out])


def test_splits_do_not_depend_on_other_recordings(workplace: Path) -> None:
    root = write_voices(workplace / "speech")
    before, _ = ingest_folder(root)
    write_sound(root / "voice0" / "another.wav", tone(0.3, 5_000))
    after, _ = ingest_folder(root)
    both = before.merge(after, on="clip_id")
    assert (both["split_x"] == both["split_y"]).all()


def test_files_in_the_folder_itself_have_an_unknown_voice(workplace: Path) -> None:
    root = write_voices(workplace / "speech")
    write_sound(root / "loose.wav", tone(0.3, 3_000))
    manifest, _ = ingest_folder(root)
    assert manifest.set_index("clip_id").loc["folder/loose.wav", "voice"] == "unknown"


def error_of(root: Path, **changes: Any) -> str:  # noqa: ANN401
    with pytest.raises(InputError) as error:
        ingest_folder(root, **changes)
    assert "\n" not in str(error.value)
    assert not list(Path().rglob("*.flac"))
    return str(error.value)


def test_bad_input_ends_in_one_line_and_leaves_nothing(workplace: Path) -> None:
    root = write_voices(workplace / "speech", voices=1)
    silent = workplace / "silent"
    write_sound(silent / "a.wav", np.zeros(24_000, np.float32))
    (workplace / "nothing").mkdir()
    tiny = write_voices(workplace / "tiny", voices=1, clips=1)
    assert "'nobody'" in error_of(root, test_voices=["nobody"])
    assert "voice0" in error_of(root, test_voices=["nobody"])
    assert 'double quotes, as in ["0011"]' in error_of(root, test_voices=[11])
    assert "1 silent" in error_of(silent)
    assert "corpus folder" in error_of(workplace / "nothing")
    assert "ingest.folder.path" in error_of(workplace / "missing")
    assert "must not hold" in error_of(workplace)
    assert "ingest.splits." in error_of(tiny)


def test_a_failed_run_keeps_the_clips_of_the_one_before(workplace: Path) -> None:
    root = write_voices(workplace / "speech")
    ingest_folder(root)
    before = tree(Path("data"))
    with pytest.raises(InputError):
        ingest_folder(root, test_voices=["nobody"])
    assert tree(Path("data")) == before


def settings_for(root: Path) -> Params:
    """Write params.yaml for a folder corpus into the current folder, and read it."""
    yaml = YAML()
    settings = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings["ingest"].update(corpora=["folder"], test_voices=["voice1"], min_seconds=0.2)
    settings["ingest"]["folder"]["path"] = str(root)
    yaml.dump(settings, Path("params.yaml"))
    return load_params()


def test_the_stage_writes_the_same_bytes_twice(workplace: Path) -> None:
    params = settings_for(write_voices(workplace / "speech", clips=60))
    ingest(params)
    first = tree(Path())
    shutil.rmtree("data")
    ingest(params)
    assert tree(Path()) == first
    # And params.yaml, manifest, rejected, notes, voices, metrics on two levels.
    assert len(first) == 120 + 7
    assert pq.read_schema("data/manifest.parquet").equals(MANIFEST_SCHEMA, check_metadata=True)
    assert Path("data/rejected.csv").read_text() == "name,reason\n"
    assert Path("data/notes.csv").read_text() == "name,start_seconds,seconds,clip_id,note\n"
    metrics = json.loads(Path("metrics/detail/ingest.json").read_text())
    assert metrics["splits"]["test_voice"]["clips"] == 60
    assert metrics["hours"] == pytest.approx(120 * 0.3 / 3600, rel=1e-3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to be killed without a new start")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_killed_run_leaves_no_trace_in_the_next(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        CORES_SETTING, "1"
    )  # A fork cannot use the server of forks it was born with.
    params = settings_for(write_voices(workplace / "speech", clips=60))
    stage = multiprocessing.get_context("fork").Process(target=ingest, args=[params])
    stage.start()
    while not list(Path("data").glob(".audio*/**/*.flac")) and stage.is_alive():
        time.sleep(0.001)
    stage.kill()
    stage.join()
    assert not Path("data/audio").exists()
    assert not Path("data/manifest.parquet").exists()
    ingest(params)
    after = tree(Path())
    shutil.rmtree("data")
    ingest(params)
    assert tree(Path()) == after


def test_the_stage_reports_bad_input_in_one_line(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_for(workplace / "missing")
    monkeypatch.setattr(sys, "argv", ["ingest.py"])
    with pytest.raises(SystemExit, match=r"^ingest: error: ingest\.folder\.path = .*$"):
        run_stage(ingest)


def test_both_forms_of_an_accent_are_one_voice(workplace: Path) -> None:
    """Folders from a Mac have accents apart from their letters; people type them as one."""
    root = workplace / "speech"
    apart, together = (unicodedata.normalize(form, "josé") for form in ("NFD", "NFC"))
    for number in range(20):
        write_sound(root / "ann" / f"{number}.wav", tone(0.3, 200 + 20 * number))
        write_sound(root / apart / f"{number}é.wav", tone(0.3, 1_000 + 20 * number))
    for typed in (apart, together):
        manifest, _ = ingest_folder(root, test_voices=[typed])
        held_out = manifest["split"] == "test_voice"
        assert set(manifest["voice"][held_out]) == {together}
        assert all(unicodedata.is_normalized("NFC", clip) for clip in manifest["clip_id"])
    write_sound(root / together / "0é.wav", tone(0.3, 3_000))
    write_sound(root / together / "another.wav", tone(0.3, 4_000))
    manifest, rejected = ingest_folder(root, test_voices=[together])
    assert rejected.empty
    assert manifest.groupby("voice").size().to_dict() == {"ann": 20, together: 22}
    assert manifest["clip_id"].is_unique
