"""Corpora without anything that speech carries have no speech-borne gain, and overlap is found."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import bet1_study
from mimi_dynamics.codec.base import SAMPLE_RATE
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.studies import differing
from mimi_dynamics.studies.codec_row import nulls
from mimi_dynamics.studies.codec_row.nulls import NULLS, gains_of, gate, some_clips, write_noise
from tests.studies.codec_row.fake_codec import DIM, ECHO, EchoCodec, write_speech
from tests.studies.codec_row.test_gains import CLIPS, FRAMES, NATS, SPLICED_GAIN, settings


def small() -> Params:
    """Two corpora of each kind."""
    params = settings()
    study = params.bet1_study.model_copy(update={"corpora": 2, "every": 1, "width": 16})
    return params.model_copy(update={"bet1_study": study})


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Speech of known gains, and the codec that reads it, on one core."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    for module in (nulls, bet1_study):
        monkeypatch.setattr(module, "load_codec", lambda *_: EchoCodec("weights"))
    return write_speech(tmp_path / "data/audio", CLIPS, FRAMES)


@pytest.mark.slow
@pytest.mark.trains
@pytest.mark.parametrize("name", NULLS)
def test_overlap_is_found_and_no_speech(name: str, manifest: pd.DataFrame) -> None:
    """Its spliced speech is a moving average of independent frames, and so is its noise."""
    params = small()
    row: dict[str, Any] = gains_of(NULLS[name](manifest, params, Path("work"), 1), params)
    assert not Path("work").exists()
    for of_split in (row, row["test_voice"]):
        assert of_split[f"speech_borne_gain_{NATS}"] == pytest.approx(0, abs=0.02)
        assert of_split[f"dynamic_gain_{NATS}"] == pytest.approx(SPLICED_GAIN, abs=0.05)


def test_frames_are_placed_as_the_spliced_audio_has_them(manifest: pd.DataFrame) -> None:
    """The target of a frame is what the audio there sounds like after another clip."""
    few = manifest.groupby("split").head(10).reset_index(drop=True)
    subject = NULLS["spliced_speech"](few, settings(), Path("w"), 3)
    assert subject.speech is not None
    heard, latents = [], subject.latents.values.reshape(-1, FRAMES, DIM)
    for frame in range(FRAMES):  # what is left of a latent without the echo of the frame before it
        heard.append(latents[:, frame] - (ECHO * heard[-1] if heard else 0))
    # What the look-back adds to targets is the same in all of a clip.
    pair = np.stack(heard, 1), subject.speech.targets.numpy().reshape(-1, FRAMES, DIM)
    alone, placed = ((of - of.mean(1, keepdims=True)).reshape(-1, DIM) for of in pair)
    told = placed @ np.linalg.lstsq(placed, alone, rcond=None)[0]
    assert np.square(alone - told).sum() < 0.02 * np.square(alone).sum()


def test_other_seeds_are_other_corpora_and_the_same_is_the_same(manifest: pd.DataFrame) -> None:
    few = manifest.groupby("split").head(10).reset_index(drop=True)
    made = [
        NULLS["spliced_speech"](few, settings(), Path("w"), seed).data.frames for seed in (1, 1, 2)
    ]
    assert (made[0] == made[1]).all()
    assert not np.allclose(made[0], made[2], atol=0.1)


def test_gates_are_marked_and_open_half_of_the_time(manifest: pd.DataFrame) -> None:
    written = write_noise(manifest.head(20), Path("noise"), 0)
    for clip in written.itertuples():
        audio, rate = soundfile.read(clip.path)
        assert rate == SAMPLE_RATE
        marked = np.zeros(len(audio), bool)
        for begin, end in np.asarray(clip.gated).reshape(-1, 2):
            marked[begin:end] = True
        assert (audio[marked] == 0).mean() > 0.99
        assert not (audio[~marked] == 0).all()
    generator = np.random.default_rng(0)
    shares = [gate(10 * SAMPLE_RATE, generator).mean() for _ in range(300)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)


def test_some_clips_of_every_voice_and_split_are_kept(manifest: pd.DataFrame) -> None:
    kept = some_clips(manifest, 3)
    by = ["voice", "split"]
    assert (kept.groupby(by).size() == -(-manifest.groupby(by).size() // 3)).all()


@pytest.mark.trains
@pytest.mark.slow
def test_the_study_applies_the_rules(manifest: pd.DataFrame) -> None:
    Path("bets.yaml").write_text((Path(__file__).parents[3] / "bets.yaml").read_text())
    manifest.to_parquet("data/manifest.parquet")
    params = small()
    bet1_study.bet1_study(params)
    path = Path("metrics/detail/bet1_study.json")
    found = json.loads(path.read_text())
    assert (found["corpora"], found["supported"]) == (4, 0)
    assert found["share"] == 0
    assert found["share_ci_high"] == pytest.approx(1 - 0.025 ** (1 / 4), abs=1e-4)
    assert set(found["spliced_speech"]["each"]) == {"c0", "c1"}
    assert not differing(found, found["origin"], params)
    kept = sorted(Path("runs/bet1_study").rglob("*.json"))
    assert len(kept) == 4
    before, times = path.read_bytes(), [of.stat().st_mtime_ns for of in kept]
    bet1_study.bet1_study(params)
    assert path.read_bytes() == before
    assert [of.stat().st_mtime_ns for of in kept] == times
