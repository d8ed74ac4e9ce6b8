"""Words are counted where a recogniser is installed; without one, all else is as ever."""

import json
from pathlib import Path

import pandas as pd
import pytest

import reconstruct
from mimi_dynamics.figures.reconstruct import reconstruct_figure
from mimi_dynamics.pipeline.conventions import WAYS
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.quality import clips, recogniser
from tests.harness import ROOT
from tests.harness.speechlike import speechlike, write_english

SPLITS = ("train", "train", "train", "test")
needs_recogniser = pytest.mark.skipif(
    not recogniser.is_installed(), reason="the recogniser has no wheel for this Python"
)


@needs_recogniser
@pytest.mark.parametrize(
    ("found", "wanted", "errors"),
    [("a b c", "a b c", 0), ("", "a b c", 3), ("a x c d", "a b c", 2), ("a b", "", 2), ("", "", 0)],
)
def test_word_errors(found: str, wanted: str, errors: int) -> None:
    assert recogniser.word_errors(found, wanted) == errors


@needs_recogniser
def test_what_is_heard_does_not_depend_on_the_clip_before() -> None:
    clip, other = (speechlike(1.0, seed) for seed in range(2))
    heard = recogniser.transcribe(clip)
    recogniser.transcribe(other)
    assert recogniser.transcribe(clip) == heard


@pytest.mark.parametrize("package", recogniser.PACKAGES)
def test_a_recogniser_takes_all_its_packages(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else name)
    assert not recogniser.is_installed()


def test_without_one_no_word_is_counted_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """English clips are then measured as all others are."""
    settings = load_params(ROOT / "params.yaml")
    few = settings.reconstruct.model_copy(
        update={"clips": 1, "english_clips": 1, "fit_clips": 3, "listen_clips": 1}
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clips, "is_installed", lambda: False)
    write_english(tmp_path, SPLITS, 1.0)

    reconstruct.reconstruct(settings.model_copy(update={"reconstruct": few}))

    (line,) = [line for line in capsys.readouterr().err.splitlines() if "recogniser" in line]
    assert line == f"reconstruct: {recogniser.NOT_INSTALLED}"
    found = json.loads(Path("metrics/detail/reconstruct.json").read_text())
    assert set(found) == {"schema_version", "bits_per_s", "test"}
    assert set(json.loads(Path("metrics/reconstruct.json").read_text())) == {"test"}
    table = pd.read_csv("plots/reconstruct.csv")
    assert set(table["way"]) == set(WAYS)
    assert len(reconstruct_figure(table).axes) == 3
