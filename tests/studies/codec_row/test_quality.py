"""The quality of a row is what stage `reconstruct` measures, on its clips, of the row's codec."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import reconstruct
from mimi_dynamics.codec.base import FRAME_SIZE, Codec, sha256_of
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.quality import clips
from mimi_dynamics.studies.codec_row.quality import codec_quality, quality_of_run
from mimi_dynamics.studies.codec_row.records import origin_of
from mimi_dynamics.studies.codec_row.subjects import LEGS, LESS_TRAINED, codec_of, weights_of
from tests.harness import ROOT
from tests.harness.speechlike import write_english
from tests.studies.codec_row.fake_codec import EchoCodec

SETTINGS = load_params(ROOT / "params.yaml")
FEW = {"clips": 2, "english_clips": 2, "fit_clips": 3, "listen_clips": 1}
PARAMS = SETTINGS.model_copy(update={"reconstruct": SETTINGS.reconstruct.model_copy(update=FEW)})
SPLITS = ("train", "train", "train", "test", "test", "test", "validation")


class ExactCodec(Codec):
    """Its latents are the samples, its codes their 16 bits, and `heard` is a factor it errs by."""

    def __init__(self, heard: float = 1.0) -> None:
        super().__init__("exact", "", nn.Identity(), FRAME_SIZE, FRAME_SIZE, 2**16)
        self.heard = heard

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the samples of every frame."""
        missing = -audio.shape[1] % FRAME_SIZE
        return nn.functional.pad(audio, (0, missing)).reshape(len(audio), -1, FRAME_SIZE)

    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the samples as whole numbers."""
        return (latents * 2**15).round().long()

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the samples."""
        return self.heard * latents.flatten(1)

    def decode_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the samples."""
        return self.decode(codes.float() / 2**15)

    def encode_in(self, dtype: torch.dtype) -> None:
        """Stay as it is."""

    @contextmanager
    def streaming(self, batch: int, frames: int = 1) -> Iterator[None]:
        """Raise an error."""
        raise NotImplementedError
        yield


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """English clips that end within a frame, where stages look for them, on one core."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    return write_english(tmp_path, SPLITS, 1.1)


@pytest.fixture
def loudness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recogniser that hears a word for every 0.1 of the peak, so that louder sounds have more."""
    monkeypatch.setattr(clips, "is_installed", lambda: True)
    monkeypatch.setattr(clips, "transcribe", lambda audio: "a " * round(10 * abs(audio).max()))
    monkeypatch.setattr(
        clips, "word_errors", lambda found, wanted: abs(len(found) - len(wanted)) // 2
    )


@pytest.fixture
def no_recogniser(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is installed."""
    monkeypatch.setattr(clips, "is_installed", lambda: False)


@pytest.mark.usefixtures("loudness")
def test_a_codec_that_gives_back_what_it_heard_loses_nothing(manifest: pd.DataFrame) -> None:
    quality = codec_quality(ExactCodec(), manifest, PARAMS)["quality"]
    assert quality["log_mel"] == quality["log_mel_ci_high"] == pytest.approx(0, abs=1e-6)
    assert quality["word_error_rate"] == 0
    assert (quality["clips"], quality["words"]) == (2, 8)


@pytest.mark.usefixtures("loudness")
def test_a_codec_that_gives_back_half_of_it(manifest: pd.DataFrame) -> None:
    """Log-mel values fall by log 2, or less where their floor is near; two words of four go."""
    quality = codec_quality(ExactCodec(0.5), manifest, PARAMS)["quality"]
    assert 0.3 < quality["log_mel"] < np.log(2)
    assert quality["word_error_rate"] == 0.5


@pytest.mark.usefixtures("no_recogniser")
def test_without_a_recogniser_no_word_is_counted_and_a_line_says_so(
    manifest: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    quality = codec_quality(ExactCodec(), manifest, PARAMS)["quality"]
    assert set(quality) == {"log_mel", "log_mel_ci_low", "log_mel_ci_high", "clips"}
    assert "codec_row: words wrong in English clips are not counted" in capsys.readouterr().err
    assert codec_quality(ExactCodec(), manifest.assign(language="it"), PARAMS)["quality"] == quality
    assert not capsys.readouterr().err


class CodelessCodec(ExactCodec):
    """The same without a quantiser: a latent is all it has."""

    def __init__(self, heard: float = 1.0) -> None:
        super().__init__(heard)
        self.codebooks = self.bins = 0

    def decode_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Raise an error."""
        raise NotImplementedError


@pytest.mark.usefixtures("loudness")
def test_a_codec_without_codes_is_judged_by_what_its_latents_sound_like(
    manifest: pd.DataFrame,
) -> None:
    """Beside as many log-mel components and Opus; of the run, it is what `reconstruct` found."""
    quality = codec_quality(CodelessCodec(0.5), manifest, PARAMS)
    assert quality == codec_quality(ExactCodec(0.5), manifest, PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconstruct, "load_codec", lambda _: CodelessCodec(0.5))
        reconstruct.reconstruct(PARAMS)
    assert quality_of_run(CodelessCodec())["quality"] == pytest.approx(quality["quality"], rel=1e-5)
    found = json.loads(Path("metrics/detail/reconstruct.json").read_text())
    assert found["test"].keys() == {"codec_unquantized", "log_mel_unquantized", "opus", "clips"}
    assert found["bits_per_s"].keys() == {"opus"}


def test_a_codec_that_cannot_decode_has_no_quality() -> None:
    assert codec_quality(EchoCodec(), pd.DataFrame(), PARAMS) == {}
    assert codec_quality(codec_of("log_mel", PARAMS), pd.DataFrame(), PARAMS) == {}


@pytest.mark.usefixtures("manifest")
def test_the_stage_says_in_a_line_that_a_codec_has_no_decoder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And its row, which is of the run, has no quality."""
    monkeypatch.setattr(reconstruct, "load_codec", lambda _: EchoCodec())
    reconstruct.reconstruct(PARAMS)
    assert capsys.readouterr().err == (
        "reconstruct: these latents have no decoder: there is nothing to decode\n"
    )
    assert json.loads(Path("metrics/detail/reconstruct.json").read_text()).keys() == {
        "schema_version"
    }
    assert quality_of_run(EchoCodec()) == {}


@pytest.mark.usefixtures("loudness")
def test_of_the_codec_of_the_run_it_is_what_reconstruct_says(manifest: pd.DataFrame) -> None:
    """Which is what it would be if it were measured again."""
    codec = codec_of("codec", PARAMS)
    with pytest.raises(InputError, match="reconstruct"):
        quality_of_run(codec)
    reconstruct.reconstruct(PARAMS)
    found = quality_of_run(codec)["quality"]
    again = codec_quality(codec, manifest, PARAMS)["quality"]
    assert found.keys() == again.keys()
    assert found == pytest.approx(again, rel=1e-5)
    shown = json.loads(Path("metrics/reconstruct.json").read_text())
    assert shown["test"]["codec"]["log_mel"] == pytest.approx(found["log_mel"], rel=1e-5)


@pytest.mark.parametrize("row", LESS_TRAINED)
def test_less_training_has_its_weights_in_git(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    path = ROOT / f"models/checkpoints/{row.replace('_', '-')}.safetensors"
    assert codec_of(row, SETTINGS).weights_sha256 == weights_of(row, SETTINGS) == sha256_of(path)


def test_legs_of_another_training_are_told_and_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that are not there have no hash; a second leg is of no account to the first."""
    mini = SETTINGS.codec.mini
    legs = [mini.legs[0], mini.legs[1].model_copy(update={"steps": 1})]
    codec = SETTINGS.codec.model_copy(update={"mini": mini.model_copy(update={"legs": legs})})
    other: Params = SETTINGS.model_copy(update={"codec": codec})
    same = [origin_of(row, "", "", SETTINGS) == origin_of(row, "", "", other) for row in LEGS]
    assert same == [True, False]
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match=r"leg-2\.safetensors: trained with codec\.mini\.legs = "):
        codec_of("leg_2", other)
    monkeypatch.chdir(tmp_path)
    assert weights_of("leg_1", SETTINGS) is None


def test_a_leg_that_nobody_kept_is_named() -> None:
    less = "steps_400, steps_1600, leg_1, leg_2"
    known = f"codec, untrained, {less}, log_mel, mimi-mini, mimi, lyra, pocket-tts"
    said = f"'leg_3': must be one of {known}$"
    with pytest.raises(InputError, match=said):
        codec_of("leg_3", SETTINGS)
