"""What DVC cannot read is named with its setting; every such setting is a dependency."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import NO_SOURCE, Params, load_params
from mimi_dynamics.pipeline.sources import check_sources
from tests.harness import ROOT

MINI_WEIGHTS = "models/mimi-mini.safetensors"


def params_of(path: str) -> Params:
    """The settings of the repository, with a folder of one's own."""
    params = load_params(ROOT / "params.yaml")
    folder = params.ingest.folder.model_copy(update={"path": path})
    ingest = params.ingest.model_copy(update={"folder": folder})
    return params.model_copy(update={"ingest": ingest})


def error_of(path: str | Path) -> str:
    with pytest.raises(InputError) as error:
        check_sources(params_of(str(path)))
    message = str(error.value)
    assert message.startswith(f"ingest.folder.path = {str(path)!r}: ")
    assert "\n" not in message
    return message


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The top folder of a repository, with DVC's folder of copies."""
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    (tmp_path / ".dvcignore").write_text("*.pyc\nruns/\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_settings_that_name_nothing_are_fine(here: Path) -> None:
    check_sources(load_params(ROOT / "params.yaml"))
    (here / "audio").mkdir()
    (here / "audio" / "a.wav").touch()
    check_sources(params_of("audio"))
    check_sources(params_of(str(here / "audio" / "a.wav")))


def test_what_is_not_there_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such file" in error_of("audio")
    assert str(Path.home()) in error_of("~/audio")
    monkeypatch.chdir(here / ".dvc/tmp/exps/copy")
    assert "must be an absolute path" in error_of("audio")
    assert "must be an absolute path" not in error_of("/no/such/audio")


def test_a_folder_that_dvc_ignores_is_refused(here: Path) -> None:
    """DVC takes it for an empty one, and would notice nothing."""
    for name in ("runs", "runs/audio"):
        (here / name).mkdir()
        assert "DVC sees nothing in runs/" in error_of(name)
        assert "DVC sees nothing in runs/" in error_of(here / name)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_files_at_which_dvc_would_stop_or_hang_are_named(here: Path) -> None:
    audio = here / "audio"
    audio.mkdir()
    (audio / "link.wav").symlink_to("nowhere")
    assert "link.wav', a link that leads nowhere" in error_of(audio)
    (audio / "link.wav").unlink()
    os.mkfifo(audio / "pipe.wav")
    assert "pipe.wav', which is no plain file" in error_of(audio)
    (audio / "pipe.wav").unlink()
    Path(os.fsdecode(bytes(audio) + b"/\xff.wav")).touch()
    assert "\\xff.wav', whose name is not UTF-8" in error_of(audio)


def test_every_source_is_a_dependency_of_the_stages_that_read_it() -> None:
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    assert {"${ingest.folder.path}", "${ingest.mirror}"} < set(stages["ingest"]["deps"])
    for name, stage in stages.items():
        loads_codec = MINI_WEIGHTS in stage["deps"]
        for setting in ("${codec.lyra.weights}", "${codec.mimi.weights}"):
            assert (setting in stage["deps"]) == loads_codec, name
    assert "data/sources.txt" in stages["ingest"]["deps"]  # so that what is wrong is told first
    assert (ROOT / NO_SOURCE).is_file()
    settings = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    assert settings["ingest"]["folder"]["path"] == NO_SOURCE
    assert settings["ingest"]["mirror"] == settings["codec"]["mimi"]["weights"] == NO_SOURCE
