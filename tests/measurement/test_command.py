"""The command `mimi-dynamics measure`: what it prints, writes and ends with."""

import json
from pathlib import Path

import numpy as np
import pytest

from mimi_dynamics import cli
from mimi_dynamics.measurement import command
from mimi_dynamics.measurement.measurement import Measurement
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.results.files import read
from mimi_dynamics.results.latents_row import LatentsRow
from tests.measurement.simulated import clips_of


def ended(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(["measure", *arguments])
    return stopped.value.code


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of linear latents."""
    path = tmp_path_factory.mktemp("latents") / "linear.npz"
    np.savez(path, **{f"clip{n}": clip for n, clip in enumerate(clips_of("linear"))})
    return path


def test_all_that_is_asked_for_is_written(
    latents: Path,
    found: Measurement,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """The table, three files, and a row of results that reads back."""
    asked: dict[str, object] = {}

    def measure(path: Path, **arguments: object) -> Measurement:
        asked.update(arguments, path=path)
        return found

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.chdir(tmp_path)
    voices = {f"clip{n}": f"voice{n % 6}" for n in range(60)}
    Path("voices.json").write_text(json.dumps(voices))
    files = ["--json", "a.json", "--png", "a.png", "--html", "a.html", "--groups", "voices.json"]
    row_of = ["--record", "--codec", "my-codec", "--corpus", "my speech"]
    numbers = ["--frame-rate", "12.5", "--horizons", "1", "2", "--seed", "3", "--effort", "best"]
    assert ended(str(latents), *numbers, *files, *row_of) == 0
    assert asked == {
        "path": latents,
        "groups": voices,
        "splits": None,
        "frame_rate": 12.5,
        "horizons": [1, 2],
        "effort": "best",
        "seed": 3,
    }
    assert str(found) in capsys.readouterr().out
    saved = json.loads(Path("a.json").read_text())
    assert list(saved["horizons"]) == ["1", "2"]
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert Path("a.html").read_text().startswith("<!doctype html>")
    (path,) = Path("results").glob("*.json")
    row = read(path)
    assert isinstance(row, LatentsRow)
    assert path.name == f"my-codec-{saved['latents']['frames_sha256'][:8]}-fast.json"
    gain = saved["horizons"]["1"]["gain_nats_per_dim"]
    assert row.horizons["1"].gain.nats_per_dim == pytest.approx(gain, rel=1e-5)
    assert row.controls["linear"].found.nats_per_dim > 0.3
    assert (row.named.corpus, row.latents.groups) == ("my speech", 6)
    assert str(tmp_path) not in path.read_text()

    changed = json.loads(path.read_text())
    del changed["controls"]["white_noise"]
    path.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="controls"):
        read(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.npy"], "gone.npy: not there"),
        (["LATENTS", "--png", "a.jpg"], "--png a.jpg: must be a file that ends in .png"),
        (["LATENTS", "--json", "LATENTS/a.json"], "/a.json: must not be within a file"),
        (["LATENTS", "--record"], "--record: must be given --codec and --corpus"),
        (["LATENTS", "--record", "--codec", "a/b", "--corpus", "x"], "--codec a/b: must be of"),
        (["LATENTS", "--groups", "gone.json"], "gone.json: not readable: No such file"),
        (["LATENTS", "--horizons", "0"], "horizons = [0]"),
        (["LATENTS", "--frame-rate", "-1"], "frame_rate = -1.0"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_1(
    latents: Path,
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [argument.replace("LATENTS", str(latents)) for argument in arguments]
    assert ended(*asked) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert not list(tmp_path.iterdir())


def test_wrong_arguments_are_exit_code_2(capsys: pytest.CaptureFixture) -> None:
    for arguments in (["a.npy", "--effort", "huge"], [], ["a.npy", "--seed", "x"]):
        assert ended(*arguments) == 2
    assert "invalid choice: 'huge'" in capsys.readouterr().err


def test_help_names_formats_exit_codes_and_examples(capsys: pytest.CaptureFixture) -> None:
    assert ended("--help") == 0
    told = capsys.readouterr().out
    assert all(words in told for words in ("Pocket TTS", "exit codes", "examples", "--record"))


def test_ctrl_c_is_one_line_and_exit_code_130(
    latents: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def stop(*_: object, **__: object) -> Measurement:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", stop)
    monkeypatch.chdir(tmp_path)
    assert ended(str(latents), "--json", "a.json") == 130
    assert capsys.readouterr().err == "\nmimi-dynamics: stopped\n"
    assert not list(tmp_path.iterdir())
