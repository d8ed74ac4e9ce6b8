"""Pitch is found where there is one, and the metrics of a codec are what they say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from mimi_dynamics.codec.pitch import track_pitch
from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.studies.codec.evaluation import HELD_OUT, codebook_usage, evaluate_codec
from tests.harness.speechlike import speechlike
from tests.harness.tiny_codec import TINY, load_tiny

NOTHING = np.zeros(0, dtype=np.int64)


@pytest.mark.parametrize("hertz", [75.0, 123.4, 210.0, 390.0])
def test_pitch_of_a_steady_voice(hertz: float) -> None:
    """Within 1 %, not an octave off, of a sound with strong overtones."""
    time = torch.arange(24000) / 24000
    voice = sum(torch.cos(2 * torch.pi * hertz * n * time + n) / n for n in range(1, 12))
    found, voiced = track_pitch(0.1 * voice)
    assert voiced[2:-4].all()
    torch.testing.assert_close(found[2:-4], torch.full_like(found[2:-4], hertz), rtol=0.01, atol=0)


def test_noise_and_silence_have_no_pitch() -> None:
    """However loud."""
    noise = torch.randn(24000, generator=torch.Generator().manual_seed(0))
    assert track_pitch(noise)[1].float().mean() < 0.05
    assert not track_pitch(torch.zeros(24000))[1].any()


def test_codebook_usage() -> None:
    """Two codes of four, equally often; and one alone."""
    codes = np.array([[0, 3], [2, 3], [0, 3], [2, 3]])
    usage = codebook_usage(codes, bins=4)
    assert usage["level0"] == pytest.approx({"used_share": 0.5, "perplexity": 2.0})
    assert usage["level1"] == pytest.approx({"used_share": 0.25, "perplexity": 1.0})


@pytest.mark.trains
def test_metrics_of_a_codec(tmp_path: Path) -> None:
    """Finite, with the mean spectrum nearer than silence."""
    rows = []
    for number, split in enumerate(["train", "validation", "test", "test", "test_voice"]):
        path = tmp_path / f"{number}.flac"
        soundfile.write(path, speechlike(1.0, number), 24000)
        rows.append({"split": split, "path": str(path), "gated": NOTHING})
    metrics = evaluate_codec(load_tiny(tmp_path), pd.DataFrame(rows), TINY.bins)
    write_metrics(tmp_path / "codec.json", metrics)
    assert metrics["test"]["clips"] == 2
    assert metrics["test"]["log_mel_mean_spectrum"] < metrics["test"]["log_mel_silence"]
    assert set(metrics["codebooks"]) == {"level0", "level1", "level2"}


@pytest.mark.trains
def test_only_frames_that_count_are_measured(tmp_path: Path) -> None:
    """What is marked as digital silence at the end of a clip is as good as cut off."""
    audio = speechlike(2.0, 0)[: 24 * 1920]
    audio[12 * 1920 :] = 0
    marked, whole, found = np.array([12 * 1920, 24 * 1920]), tmp_path / "whole.flac", []
    soundfile.write(whole, audio, 24000)
    for gated in (marked, NOTHING):
        clips = [{"split": s, "path": str(whole), "gated": gated} for s in HELD_OUT]
        metrics = evaluate_codec(load_tiny(tmp_path), pd.DataFrame(clips), TINY.bins)
        found.append(metrics["test"]["log_mel_silence"])
    assert found[0] > 1.5 * found[1]
