"""Links below a folder: followed inside it and in a cache of the hub, not out of it or for ever."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.pipeline.sources import check_sources
from mimi_dynamics.speech.corpora import list_recordings
from mimi_dynamics.speech.corpora.links import find_files
from mimi_dynamics.speech.ingestion import ingest_corpora
from tests.harness import ROOT
from tests.harness.audio_files import ingest_params, tone, write_sound
from tests.harness.layouts import touch, voices_of

REVISION = "17ae0d" * 6 + "abcd"


def refusals(root: Path) -> dict[str, str]:
    """Why files are not opened, by their paths."""
    params = ingest_params(folder={"path": str(root)})
    recordings = list_recordings("folder", params, root.parent / "clips")
    return {of.name.removeprefix("folder/"): of.refused for of in recordings if of.refused}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the Hugging Face hub: blobs without names, and a revision of links to them."""
    cache = tmp_path / "hub" / "datasets--someone--voices"
    snapshot = cache / "snapshots" / REVISION
    touch(cache, "blobs/forgotten", "refs/main")
    for voice in ("anna", "bob"):
        for number in range(2):
            blob = write_sound(cache / "blobs" / "a.wav", tone(0.3, 300 + number))
            blob = blob.rename(cache / "blobs" / f"{voice}{number}0123456789abcdef")
            link = snapshot / "data" / voice / f"{number}.wav"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(*[".."] * 4, "blobs", blob.name))
    return cache


def test_a_cache_of_the_hub_has_the_voices_of_its_snapshot(cache: Path) -> None:
    snapshot = cache / "snapshots" / REVISION
    names = [f"{voice}/{number}.wav" for voice in ("anna", "bob") for number in (0, 1)]
    for root in (cache.parent, cache, snapshot.parent, snapshot, snapshot / "data"):
        found = voices_of(root)
        found.pop(f"{cache.name}/refs/main", None)
        found.pop("refs/main", None)
        ends = {name.rpartition("data/")[2]: voice for name, voice in found.items()}
        assert ends == {name: name.partition("/")[0] for name in names}, root


def test_links_into_the_folder_are_followed_and_keep_the_names_that_people_gave(
    tmp_path: Path,
) -> None:
    root = tmp_path / "speech"
    touch(root, *(f"store/{number:064x}" for number in range(4)), "raw/cleo/a.wav")
    for number in range(4):
        link = root / ("anna", "bob")[number % 2] / f"{number}.wav"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(f"../store/{number:064x}")
    (root / "cleo").symlink_to("raw/cleo")
    assert voices_of(root) == {
        "anna/0.wav": "anna",
        "anna/2.wav": "anna",
        "bob/1.wav": "bob",
        "bob/3.wav": "bob",
        "cleo/a.wav": "cleo",
    }
    assert set(refusals(root).values()) == {"duplicate"}
    assert len(refusals(root)) == 5


def test_a_file_has_its_own_name_before_that_of_a_link(tmp_path: Path) -> None:
    root = tmp_path / "speech"
    touch(root, "bob/a.wav", "bob/b.wav", "cleo/c.wav")
    (root / "anna").symlink_to("bob")
    (root / "adam").mkdir()
    (root / "adam" / "one.wav").symlink_to("../bob/a.wav")
    (root / "latest.wav").symlink_to("cleo/c.wav")
    (root / "cleo" / "again.wav").symlink_to("c.wav")
    assert voices_of(root) == {"bob/a.wav": "bob", "bob/b.wav": "bob", "cleo/c.wav": "cleo"}


@pytest.mark.timeout(20)
def test_links_that_go_round_end(tmp_path: Path) -> None:
    root = tmp_path / "speech"
    names = [f"{voice}/{number}.wav" for voice in ("anna", "bob") for number in (1, 2)]
    touch(root, *names)
    (root / "anna" / "itself").symlink_to(".")
    (root / "anna" / "up").symlink_to("..")
    (root / "anna" / "bob").symlink_to("../bob")
    (root / "bob" / "anna").symlink_to("../anna")
    (root / "bob" / "absolute").symlink_to(root)
    (root / "bob" / "loop.wav").symlink_to("loop.wav")
    assert voices_of(root) == {name: name.partition("/")[0] for name in names}
    many = tmp_path / "many"
    touch(many, *(f"v{number}/a.wav" for number in range(20)))
    for number in range(20):
        for other in range(20):
            (many / f"v{number}" / f"to{other}").symlink_to(f"../v{other}")
    assert voices_of(many) == {f"v{number}/a.wav": f"v{number}" for number in range(20)}


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "speech"
    touch(tmp_path, "outside/secret.wav", "outside/voices.csv", "speech/anna/a.wav")
    (tmp_path / "outside/voices.csv").write_text("path,voice\na.wav,secret\n")
    for name in ("secret.wav", "voices.csv"):
        (root / "anna" / name).symlink_to(tmp_path / "outside" / name)
    (root / "bob").symlink_to("../outside")
    (root / "blobs").symlink_to("../outside")
    (root / "broken.wav").symlink_to("nowhere.wav")
    (root / "inside").mkdir()
    (root / "inside" / "by_way_of.wav").symlink_to("../bob/secret.wav")
    assert voices_of(root) == {"anna/a.wav": "anna"}
    assert set(refusals(root).values()) == {"link"}
    assert len(refusals(root)) == 6


def test_a_folder_that_is_a_link_itself_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "real/anna/a.wav", "real/bob/b.wav")
    (tmp_path / "real" / "bob" / "again").symlink_to("../anna")
    (tmp_path / "link").symlink_to("real")
    assert voices_of(tmp_path / "link") == {"anna/a.wav": "anna", "bob/b.wav": "bob"}


def test_linked_recordings_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        blob = write_sound(Path("a.wav"), tone(0.3, 300 + 20 * number))
        link = tmp_path / "speech" / "anna" / f"{number}.wav"
        link.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "speech" / ".store").mkdir(exist_ok=True)
        blob.rename(tmp_path / "speech" / ".store" / str(number))
        link.symlink_to(f"../.store/{number}")
    params = ingest_params(folder={"path": "speech"})
    manifest, rejected = ingest_corpora(params, Path("data/audio"))
    assert set(manifest["voice"]) == {"anna"}
    assert len(manifest) == len(rejected) == 30


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with 1,100 levels of folders in it, more than the calls that Python allows."""
    root = tmp_path_factory.mktemp("deep") / "speech"
    (root / "anna").mkdir(parents=True)
    with contextlib.chdir(root / "anna"):
        for _ in range(1_100):
            Path("a").mkdir()
            os.chdir("a")
        write_sound(Path("x.wav"), tone(0.3, 440))
    yield root
    subprocess.run(["rm", "-r", str(root)], check=True)  # Python's own would fail at the depth.


def test_folders_in_folders_may_be_deep(
    deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        write_sound(deep / "anna" / f"{number}.wav", tone(0.3, 500 + 20 * number))
    assert len(find_files(deep)) == 31
    params = ingest_params(folder={"path": str(deep)})
    manifest, rejected = ingest_corpora(params, Path("data/audio"))
    assert rejected.empty
    assert len(manifest) == 31
    assert set(manifest["voice"]) == {"anna"}


def test_folders_too_deep_for_dvc_end_in_one_line(deep: Path) -> None:
    """It asks Python's os.walk, which calls itself up to Python 3.11."""
    settings = load_params(ROOT / "params.yaml")
    folder = settings.ingest.folder.model_copy(update={"path": str(deep)})
    ingest = settings.ingest.model_copy(update={"folder": folder})
    if sys.version_info >= (3, 12):
        check_sources(settings.model_copy(update={"ingest": ingest}))
        return
    with pytest.raises(InputError, match="too many folders in each other") as error:
        check_sources(settings.model_copy(update={"ingest": ingest}))
    assert "\n" not in str(error.value)
