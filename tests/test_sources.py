"""Folders, mirrors and weights that change are noticed, in every way of running DVC."""

import json
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.harness.audio_files import tone, write_sound, write_voices
from tests.harness.small_pipeline import make_clone, run

UP_TO_DATE = "Data and pipelines are up to date."
TAKE = "voice0/take00.wav"


def set_params(clone: Path, **settings: object) -> None:
    """Set settings of `ingest` in params.yaml."""
    yaml = YAML()
    params = yaml.load(clone / "params.yaml")
    params["ingest"].update(settings)
    yaml.dump(params, clone / "params.yaml")


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A folder of 20 short clips of each of two voices."""
    return write_voices(tmp_path / "my audio")


@pytest.fixture
def clone(tmp_path: Path, audio: Path) -> Path:
    """A clone with the first stages alone, set to that folder."""
    folder = tmp_path / "clone"
    folder.mkdir()
    make_clone(folder)
    yaml = YAML()
    pipeline = yaml.load(folder / "dvc.yaml")
    yaml.dump(pipeline, folder / "dvc.yaml.all")
    stages = {name: pipeline["stages"][name] for name in ("sources", "ingest")}
    yaml.dump({"stages": stages}, folder / "dvc.yaml")
    (folder / "dvc.lock").unlink()
    set_params(folder, folder={"path": str(audio)}, min_seconds=0.2, test_voices=[])
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "start")
    return folder


def sums(clone: Path) -> dict[str, str]:
    """The sha256 of every source file, by the id of its clip."""
    manifest = pd.read_parquet(clone / "data/manifest.parquet")
    return dict(zip(manifest["clip_id"], manifest["sha256"], strict=True))


def replace_in_place(path: Path, hertz: float) -> None:
    """Write another sound of the same size."""
    size = path.stat().st_size
    write_sound(path, tone(0.3, hertz, 16_000), 16_000)
    assert path.stat().st_size == size


def test_a_folder_that_changed_is_noticed_and_not_restored_from_before(
    clone: Path, audio: Path
) -> None:
    run(clone, "dvc", "repro")
    before = sums(clone)
    write_sound(audio / "voice9" / "new.wav", tone(0.3, 3_000))
    replace_in_place(audio / TAKE, 4_000)
    set_params(clone, min_seconds=0.25)
    run(clone, "dvc", "repro")
    assert len(sums(clone)) == 41
    set_params(clone, min_seconds=0.2)
    run(clone, "dvc", "repro")  # For these settings, the run cache has what was there before.
    after = sums(clone)
    assert len(after) == 41
    assert after[f"folder/{TAKE}"] != before[f"folder/{TAKE}"]
    assert UP_TO_DATE in run(clone, "dvc", "repro").stdout


def clips_of(clone: Path, experiment: str) -> int:
    """How many clips the metrics of an experiment say, by its name."""
    found = run(clone, "git", "for-each-ref", f"refs/exps/**/{experiment}", "--format=%(refname)")
    text = run(clone, "git", "show", f"{found.stdout.strip()}:metrics/ingest.json").stdout
    return json.loads(text)["clips"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["in place", "--temp", "--queue"])
def test_every_way_of_running_notices_a_grown_folder(clone: Path, audio: Path, way: str) -> None:
    run(clone, "dvc", "repro")
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-qm", "results")
    for number in (41, 42):
        write_sound(audio / "voice9" / f"{number}.wav", tone(0.3, 60 * number))
        command = ["dvc", "exp", "run", "-n", f"n{number}", *([way] if way[0] == "-" else [])]
        run(clone, *command, "-S", "ingest.min_seconds=0.21")
        if way == "--queue":
            run(clone, "dvc", "queue", "start")
            run(clone, "dvc", "queue", "logs", "-f", f"n{number}", check=False)
        assert clips_of(clone, f"n{number}") == number
        if way == "in place":
            run(clone, "git", "checkout", ".")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_relative_paths_in_a_copy_and_missing_folders_end_in_one_line(
    clone: Path, audio: Path
) -> None:
    start = ["dvc", "exp", "run", "-S"]
    relative = f'ingest.folder.path="../{audio.name}"'
    said = run(clone, *start, relative, "--temp", check=False).stderr
    assert "sources: error: ingest.folder.path = '../my audio': not in the copy of the" in said
    assert f"must be the absolute {audio}\n" in said
    run(clone, *start, relative)
    assert len(sums(clone)) == 40
    run(clone, "git", "checkout", ".")
    said = run(clone, *start, "ingest.folder.path=/no/such", check=False).stderr
    assert "sources: error: ingest.folder.path = '/no/such': no such file or folder" in said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fresh_clone_without_the_folder_is_up_to_date(clone: Path, audio: Path) -> None:
    """As CI checks it: the folder is on the machine of whoever ran it."""
    run(clone, "dvc", "repro")
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-qm", "results")
    audio.rename(audio.with_name("elsewhere"))
    fresh = clone.with_name("fresh")
    run(clone, "git", "clone", "-q", str(clone), str(fresh))
    assert UP_TO_DATE in run(fresh, "dvc", "repro", "--dry", "--allow-missing").stdout


def copies_of_weights(clone: Path, weights: Path) -> None:
    """Make `encode` a stage that copies its weights, as its dependencies are what matters."""
    yaml = YAML()
    stage = yaml.load(clone / "dvc.yaml.all")["stages"]["encode"]
    stage["cmd"] = f"mkdir -p data/latents && cp '{weights}' data/latents"
    stage["deps"] = [dep for dep in stage["deps"] if "weights" in dep]
    stage["outs"] = ["data/latents"]
    yaml.dump({"stages": {"encode": stage}}, clone / "dvc.yaml")
    params = yaml.load(clone / "params.yaml")
    params["codec"]["mimi"]["weights"] = str(weights)
    yaml.dump(params, clone / "params.yaml")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_weights_replaced_in_place_are_noticed(clone: Path) -> None:
    weights = clone.parent / "weights.safetensors"
    weights.write_bytes(b"old")
    copies_of_weights(clone, weights)
    for content in (b"old", b"new", b"old", b"third"):
        weights.write_bytes(content)
        run(clone, "dvc", "repro")
        assert (clone / "data/latents/weights.safetensors").read_bytes() == content
    assert UP_TO_DATE in run(clone, "dvc", "repro").stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_mirror_that_changed_is_noticed(clone: Path, audio: Path) -> None:
    mirror = clone.parent / "mirror"
    mirror.mkdir()
    audio.rename(mirror / "kathleen")
    set_params(clone, corpora=["kathleen"], mirror=str(mirror), folder={"path": "sources/none"})
    run(clone, "dvc", "repro")
    write_sound(mirror / "kathleen" / "new.wav", tone(0.3, 3_000))
    replace_in_place(mirror / "kathleen" / TAKE, 4_000)
    before = sums(clone)
    run(clone, "dvc", "repro")
    after = sums(clone)
    assert len(after) == 41
    assert {name for name in before if after[name] != before[name]} == {"kathleen/voice0/take00"}
