"""What DVC cannot read is named with its setting; every such setting is a dependency."""

import copy
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import NO_SOURCE, Params, load_params
from mimi_dynamics.pipeline.settings import check_settings
from mimi_dynamics.pipeline.sources import check_sources
from tests.harness import ROOT

MINI_WEIGHTS = "models/mimi-mini.safetensors"


PARAMS = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
SETTINGS = (
    "ingest.folder.path",
    "ingest.latents.path",
    "ingest.mirror",
    "ingest.voice_table",
    "codec.lyra.weights",
    "codec.mimi.weights",
)


def params_of(path: str, setting: str = "ingest.folder.path") -> Params:
    """The settings of the repository, with a folder or file of one's own."""
    settings = copy.deepcopy(PARAMS)
    section = settings
    *above, last = setting.split(".")
    for name in above:
        section = section[name]
    section[last] = path
    return check_settings(settings, Params)


def error_of(path: str | Path, setting: str = "ingest.folder.path") -> str:
    with pytest.raises(InputError) as error:
        check_sources(params_of(str(path), setting))
    message = str(error.value)
    assert message.startswith(f"{setting} = {str(path)!r}: ")
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


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_is_not_there_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    assert "no such file" in error_of("audio", setting)
    assert error_of("~/audio", setting).endswith(f"must be {Path.home() / 'audio'}")
    for named in (here / "audio", here.parent / "other audio"):
        named.touch()
    monkeypatch.chdir(here / ".dvc/tmp/exps/copy")
    assert error_of("audio", setting).endswith(f"must be the absolute {here / 'audio'}")
    assert error_of("../other audio", setting).endswith(
        f"the absolute {here.parent / 'other audio'}"
    )
    assert error_of("nowhere", setting).endswith("run: must be an absolute path")
    assert error_of("/no/such/audio", setting).endswith("no such file or folder")
    check_sources(params_of(str(here / "audio"), setting))


def test_a_user_without_a_home_is_told_so(here: Path) -> None:
    """As one without an entry in passwd is, in a container."""
    for setting in SETTINGS:
        assert "'~' leads nowhere" in error_of("~nobody-of-this-name/audio", setting)
    assert "'~' leads nowhere" in error_of("hf:~nobody-of-this-name/codec", "codec.name")


def test_the_folder_of_a_codec_is_looked_for_in_the_repository_too(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "my-codec").mkdir()
    check_sources(params_of("hf:my-codec", "codec.name"))
    check_sources(params_of("hf:facebook/encodec_24khz", "codec.name"))
    check_sources(params_of("hf:~/codec", "codec.name"))  # DVC does not look at it.
    monkeypatch.chdir(here / ".dvc/tmp/exps/copy")
    assert error_of("hf:my-codec", "codec.name").endswith(f"the absolute {here / 'my-codec'}")
    check_sources(params_of(f"hf:{here}/my-codec", "codec.name"))
    check_sources(params_of("hf:facebook/encodec_24khz", "codec.name"))


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
    stages: dict[str, Any] = load_stages(ROOT / "dvc.yaml")
    read = {"${ingest.folder.path}", "${ingest.mirror}", "${ingest.voice_table}"}
    assert read < set(stages["ingest"]["deps"])
    for name, stage in stages.items():
        loads_codec = MINI_WEIGHTS in stage["deps"]
        for setting in ("${codec.lyra.weights}", "${codec.mimi.weights}"):
            assert (setting in stage["deps"]) == loads_codec, name
    assert "data/sources.txt" in stages["ingest"]["deps"]  # so that what is wrong is told first
    assert (ROOT / NO_SOURCE).is_file()
    ingest = PARAMS["ingest"]
    assert ingest["folder"]["path"] == ingest["mirror"] == ingest["voice_table"] == NO_SOURCE
    assert PARAMS["codec"]["mimi"]["weights"] == NO_SOURCE
