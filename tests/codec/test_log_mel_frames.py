"""Log-mel frames in the form of a codec hear nothing ahead, and one frame back."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE
from mimi_dynamics.codec.log_mel import HOP, WINDOW, log_mel_frames
from mimi_dynamics.codec.log_mel_frames import LogMelFrames
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.encoding.transplant import look_back, needed_look_back, transplant
from mimi_dynamics.latents.store import read_latents
from mimi_dynamics.pipeline.params import EncodeParams
from tests.harness.speechlike import speechlike

AUDIO = speechlike(0.9, seed=0)[: 11 * FRAME_SIZE - 500]
OTHER = speechlike(2.5, seed=1)
CODEC = LogMelFrames()


def encoded(audio: np.ndarray) -> np.ndarray:
    """The frames of one clip."""
    return CODEC.encode(torch.from_numpy(audio)[None])[0].numpy()


def test_they_are_those_of_audio_that_comes_a_hop_later() -> None:
    """Apart from the ends, where `log_mel_frames` mirrors audio."""
    later = np.pad(AUDIO, (HOP, 0))[: len(AUDIO)]
    assert encoded(AUDIO).shape == (11, CODEC.dim)
    np.testing.assert_allclose(encoded(AUDIO)[1:-1], log_mel_frames(later)[1:-1], atol=1e-4)


def test_a_frame_hears_itself_and_less_than_a_window_before() -> None:
    changed = AUDIO.copy()
    changed[6 * FRAME_SIZE :] += speechlike(0.9, seed=2)[: len(AUDIO) - 6 * FRAME_SIZE]
    changed[: 5 * FRAME_SIZE - (WINDOW - HOP)] = 0
    np.testing.assert_allclose(encoded(changed)[5], encoded(AUDIO)[5], atol=1e-5)
    assert np.abs(encoded(changed) - encoded(AUDIO)).max(1)[[4, 6]].min() > 0.1


def test_a_batch_is_its_clips() -> None:
    """And zeros at the end, to whole frames, change nothing."""
    padded = np.pad(AUDIO, (0, 3 * FRAME_SIZE + 500))
    np.testing.assert_allclose(encoded(padded)[:11], encoded(AUDIO), atol=1e-5)


def test_no_more_look_back_than_it_hears() -> None:
    assert needed_look_back(CODEC) == 1
    short = look_back(OTHER, needed_look_back(CODEC))
    longer = OTHER[(len(OTHER) + FRAME_SIZE) // 2 - 10 * FRAME_SIZE :][: 10 * FRAME_SIZE]
    assert np.array_equal(short, longer[-FRAME_SIZE:])
    found, expected = (transplant(CODEC, AUDIO, past) for past in (short, longer))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_corpus_without_codes(tmp_path: Path) -> None:
    """It passes through what encodes every codec."""
    path = tmp_path / "a.flac"
    soundfile.write(path, AUDIO, SAMPLE_RATE)
    manifest = pd.DataFrame(
        [{"clip_id": "a", "voice": "ann", "split": "train", "path": path}]
    ).assign(seconds=len(AUDIO) / SAMPLE_RATE, gated=[np.zeros(0, np.int64)])
    settings = EncodeParams(batch_seconds=4.0, dtype="float32", engine="local")
    metrics = encode_corpus(CODEC, manifest, tmp_path / "latents", settings, tmp_path / "work")
    latents = read_latents(tmp_path / "latents")
    assert metrics["codebooks"] == 0
    assert latents.values.shape == (11, 600)
    assert latents.codes.shape == (11, 0)


def test_what_it_cannot_do() -> None:
    for call in (CODEC.decode, CODEC.decode_codes):
        with pytest.raises(NotImplementedError, match="no decoder"):
            call(torch.zeros(1, 1, CODEC.dim))
    with pytest.raises(NotImplementedError, match="do not stream"), CODEC.streaming(1):
        pass
