"""On a codec and speech of known gains, a row has them: plain, spliced, and what speech carries."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mimi_dynamics.evidence.gains import Fits
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.studies.codec_row import gains as module
from mimi_dynamics.studies.codec_row import subjects
from mimi_dynamics.studies.codec_row.gains import (
    NULLS,
    PLAIN,
    Lead,
    fit_leads,
    measure,
    with_shuffled_targets,
)
from mimi_dynamics.studies.codec_row.records import facts
from mimi_dynamics.studies.codec_row.subjects import Subject, make_subject
from tests.harness import ROOT
from tests.studies.codec_row.fake_codec import DIM, ECHO, RHO, EchoCodec, write_speech

# With an odd number of frames, the middle of a clip is a frame.
FRAMES, CLIPS = 65, {"train": 160, "validation": 30, "test": 60, "test_voice": 60}
SETTINGS = load_params(ROOT / "params.yaml")
NATS = "nats_per_dim"
# Given all of the past, z is known: what is left of z_{t+1} has variance 1 − ρ².
PLAIN_GAIN = 0.5 * math.log((1 + ECHO**2 + 2 * ECHO * RHO) / (1 - RHO**2))
# Frames in random order are independent, and x is their moving average.
SPLICED_GAIN = 0.5 * math.log(1 + ECHO**2)
# What the look-back adds to y is the same in all of a clip, and x does not know it.
SPEECH_GAIN = 0.5 * math.log((1 + ECHO**2) / (1 - RHO**2 + ECHO**2))


def shuffled_gain(first: int) -> float:
    """What a clip's earlier frames tell of its mean, which shuffling leaves as it is.

    Any two frames of a shuffled clip have the same correlation r, the mean over all distances; the
    best forecast from n of them leaves 1 − n r² / (1 + (n − 1) r) of the variance.
    """
    lags = np.arange(1, FRAMES)
    echoes = ECHO * (RHO ** (lags - 1.0) + RHO ** (lags + 1.0))
    correlations = (RHO**lags * (1 + ECHO**2) + echoes) / (1 + ECHO**2 + 2 * ECHO * RHO)
    r = np.average(correlations, weights=FRAMES - lags)
    known = np.arange(first, FRAMES)
    return float(-0.5 * np.log1p(-known * r**2 / (1 + (known - 1) * r)).mean())


def settings() -> Params:
    """Small models, two trainings."""
    small = {"width": 16, "bootstrap_samples": 100, "min_steps": 100}
    small |= {"epochs": 2, "pretrain_epochs": 1}
    return SETTINGS.model_copy(
        update={
            "head": "gaussian",
            "latents": SETTINGS.latents.model_copy(update={"dim": DIM}),
            "predict": SETTINGS.predict.model_copy(update=small),
        }
    )


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """By way of audio files, on one core."""
    folder = tmp_path_factory.mktemp("speech")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "available_cores", lambda: 1)
        patch.setattr(subjects, "codec_of", lambda *_: EchoCodec())
        manifest = write_speech(folder / "audio", CLIPS, FRAMES)
        made = make_subject("echo", manifest, settings(), folder / "work")
    assert not (folder / "work").exists()
    return made


@pytest.fixture(scope="module")
def leads(subject: Subject) -> dict[int, Lead]:
    """All fits, two frames ahead of one training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "available_cores", lambda: 1)
        return fit_leads(subject, settings(), {1: 2, 2: 1}, {})


@pytest.fixture(scope="module")
def row(leads: dict[int, Lead]) -> dict[str, Any]:
    """All gains."""
    return measure(leads, settings(), 12.5)


@pytest.mark.trains
@pytest.mark.parametrize("split", ["test", "test_voice"])
@pytest.mark.parametrize("head", ["stack", "linear"])
def test_known_gains(row: dict[str, Any], split: str, head: str) -> None:
    """Within 0.03 nats a dimension, about twice the spread over corpora of this size.

    What shuffled frames tell of the mean of their clip, 0.020, is no part of the dynamic gain.
    """
    shuffled = shuffled_gain(SETTINGS.predict.warmup_frames)
    of_split = row if split == "test" else row[split]
    found = of_split if head == "stack" else of_split["linear"]
    assert found[f"gain_{NATS}"] == pytest.approx(PLAIN_GAIN, abs=0.03)
    assert found[f"shuffled_gain_{NATS}"] == pytest.approx(shuffled, abs=0.02)
    assert found[f"dynamic_gain_{NATS}"] == pytest.approx(PLAIN_GAIN - shuffled, abs=0.03)
    assert found[f"speech_borne_gain_{NATS}"] == pytest.approx(SPEECH_GAIN, abs=0.03)
    assert found["spliced"][f"dynamic_gain_{NATS}"] == pytest.approx(SPLICED_GAIN, abs=0.03)
    assert found[f"speech_borne_null_{NATS}"] == pytest.approx(0, abs=0.02)


@pytest.mark.trains
def test_two_frames_ahead_it_is_what_is_left_of_the_vector(row: dict[str, Any]) -> None:
    """Of z_{t+2} the past tells ρ² z_t."""
    left = 0.5 * math.log((1 + ECHO**2) / (1 - RHO**4 + ECHO**2))
    found = row["k2"]
    assert found[f"speech_borne_gain_{NATS}"] == pytest.approx(left, abs=0.03)
    assert "spliced" not in found
    assert f"speech_borne_gain_{NATS}_trainings" not in found


@pytest.mark.trains
def test_trainings_intervals_and_units(row: dict[str, Any]) -> None:
    for name in ("gain", "dynamic_gain", "speech_borne_gain"):
        assert row[f"{name}_{NATS}_trainings"] == 2
        per_second = row[f"{name}_{NATS}"] * DIM * 12.5 / math.log(2)
        assert row[f"{name}_bits_per_s"] == pytest.approx(per_second)
        assert row[f"{name}_{NATS}_ci_low"] < row[f"{name}_{NATS}"] < row[f"{name}_{NATS}_ci_high"]
    assert f"gain_{NATS}_trainings" not in row["spliced"]
    assert row["frames"] == row["transplanted_frames"] == CLIPS["test"] * (FRAMES - 8)


@pytest.mark.trains
def test_fits_that_are_there_are_not_made_again(
    subject: Subject,
    leads: dict[int, Lead],
    row: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And all gains are what they were, where there is no speech-borne one."""
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    names = (PLAIN, NULLS[PLAIN])
    stored: list[Fits] = [
        {key: found for key, found in of.items() if key[0] in names} for of in leads[1].trainings
    ]
    asked = []
    fit = module.fit_trainings
    monkeypatch.setattr(module, "fit_trainings", lambda jobs: asked.extend(jobs) or fit(jobs))
    again = fit_leads(replace(subject, speech=None), settings(), {1: 2}, {1: stored})
    assert {job.row for jobs in asked for job in jobs} == {"spliced", "spliced_shuffled"}
    found = measure(again, settings(), 12.5)
    left = {key for key in row if key != "k2" and not key.startswith(("speech", "transplanted"))}
    assert found.keys() == left
    rest = left - {"linear", "test_voice"}
    assert {key: found[key] for key in rest} == {key: row[key] for key in rest}
    asked.clear()
    without_audio = replace(subject, speech=None, spliced=None)
    bare = measure(fit_leads(without_audio, settings(), {1: 2}, {1: stored}), settings(), 12.5)
    assert not asked
    assert {key: bare[key] for key in rest - {"spliced"}} == {
        key: row[key] for key in rest - {"spliced"}
    }
    assert "spliced" not in bare
    assert found["linear"]["spliced"] == row["linear"]["spliced"]


def test_shuffled_targets_stay_in_their_clip_and_frames_in_place(subject: Subject) -> None:
    data = subject.speech
    null = with_shuffled_targets(data, 8, 0)
    assert torch.equal(null.frames, data.frames)
    assert not torch.equal(null.targets, data.targets)
    for ours, theirs in zip(
        null.targets.split(FRAMES)[:5], data.targets.split(FRAMES)[:5], strict=True
    ):
        assert torch.equal(ours.sort(0).values, theirs.sort(0).values)
        assert torch.equal(ours[:8].sort(0).values, theirs[:8].sort(0).values)


def test_facts_leave_out_what_the_codec_does_not_have(subject: Subject) -> None:
    found = facts(subject, settings())
    assert (found["latent_dim"], found["dim"], found["frame_rate"]) == (DIM, DIM, 12.5)
    assert "bits_per_s" not in found
    assert found["effective_dim"] == pytest.approx(DIM, rel=0.05)
    assert "loudness_r2" in found
    level = np.zeros_like(subject.latents.rms_db)
    unknown = replace(subject, latents=replace(subject.latents, rms_db=level))
    assert "loudness_r2" not in facts(unknown, settings())


@pytest.fixture
def few_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """One clip of each voice in every split, so that there is no look-back."""
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    return write_speech(tmp_path / "audio", dict.fromkeys(CLIPS, 2), FRAMES)


def test_without_look_backs_there_is_no_speech_borne_gain(
    few_clips: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(subjects, "codec_of", lambda *_: EchoCodec())
    made = make_subject("echo", few_clips, settings(), tmp_path / "work")
    assert made.speech is None
    assert "echo: too few clips of a voice to take look-backs from" in capsys.readouterr().err


def test_a_codec_that_hears_ahead_has_no_speech_borne_gain(
    few_clips: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = EchoCodec()
    codec.hears_ahead = None
    monkeypatch.setattr(subjects, "codec_of", lambda *_: codec)
    asked = []
    monkeypatch.setattr(subjects, "transplant_corpus", lambda *_: asked.append(1))
    assert make_subject("echo", few_clips, settings(), tmp_path / "work").speech is None
    assert not asked


def test_latents_of_another_codec_are_refused(
    few_clips: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is encoded."""
    latents = type("Latents", (), {"info": {"codec": "echo", "weights_sha256": "a" * 64}})
    monkeypatch.setattr(subjects, "codec_of", lambda *_: EchoCodec("b" * 64))
    monkeypatch.setattr(subjects, "load", lambda _: subjects.Loaded(latents, None, None))
    said = "of echo aaaaaaaaaaaa, and the codec of this run is echo bbbbbbbbbbbb; run the stage enc"
    with pytest.raises(InputError, match=said):
        make_subject("codec", few_clips, settings(), tmp_path / "work")


def test_a_row_that_nobody_knows_is_named_and_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(InputError, match=r"codec_table\.rows: '\.\./kept': must be one of codec"):
        make_subject("../kept", pd.DataFrame(), settings(), tmp_path / "work" / "../kept")
    assert (tmp_path / "kept").exists()


def test_clips_of_another_manifest_are_refused(
    few_clips: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "codec_of", lambda *_: EchoCodec())
    made = make_subject("echo", few_clips, settings(), tmp_path / "work")
    latents = replace(made.latents, clip_ids=np.roll(made.latents.clip_ids, 1))
    loaded = subjects.Loaded(latents, None, made.data)
    monkeypatch.setattr(subjects, "_of_the_run", lambda *_: loaded)
    with pytest.raises(InputError, match="not of the clips of data/manifest"):
        make_subject("codec", few_clips, settings(), tmp_path / "work")
