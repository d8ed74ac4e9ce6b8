"""Training learns, keeps its memory, and goes on after a kill as if nothing had happened."""

from pathlib import Path

import numpy as np
import pytest
import torch
from moshi.quantization.core_vq import EuclideanCodebook

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import LegParams, SplitParams
from mimi_dynamics.studies.codec import legs
from mimi_dynamics.studies.codec.speech import draw_segments, join_speech, training_speech
from mimi_dynamics.studies.codec.training import CodecTraining
from tests.harness.audio_files import ingest_params, write_voices
from tests.harness.speechlike import speechlike
from tests.harness.tiny_codec import TINY, TINY_LEG, noise

AUDIO = (noise(20) * 32767).astype(np.int16)


def begin(leg: LegParams = TINY_LEG) -> CodecTraining:
    """A leg of the tiny codec on noise, from new weights."""
    return CodecTraining(TINY, leg, AUDIO)


@pytest.mark.trains
def test_same_result_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two checkpoints, it gives the weights and the log of a run in one go."""
    monkeypatch.setattr(legs, "CHECKPOINT_EVERY", 3)
    leg = TINY_LEG.model_copy(update={"average": 0.5})
    whole = begin(leg)
    legs.train_leg(whole, tmp_path / "whole", "whole")
    step = CodecTraining.step

    def step_until_killed(training: CodecTraining) -> dict[str, float]:
        if training.steps_done == 5:
            raise KeyboardInterrupt
        return step(training)

    monkeypatch.setattr(CodecTraining, "step", step_until_killed)
    with pytest.raises(KeyboardInterrupt):
        legs.train_leg(begin(leg), tmp_path / "killed", "killed")
    monkeypatch.setattr(CodecTraining, "step", step)
    resumed = begin(leg)
    legs.train_leg(resumed, tmp_path / "killed", "resumed")
    assert resumed.log == whole.log
    assert [row["step"] for row in whole.log] == list(range(1, leg.steps + 1))
    for name, tensor in whole.weights().items():
        torch.testing.assert_close(resumed.weights()[name], tensor, rtol=0, atol=0)


@pytest.mark.trains
def test_checkpoint_of_another_training_is_not_used(tmp_path: Path) -> None:
    """Other settings, another start or other speech start anew."""
    path = tmp_path / "checkpoint.safetensors"
    training = begin()
    training.step()
    training.save(path)
    assert begin().restore(path)
    assert not begin(TINY_LEG.model_copy(update={"lr": 0.002})).restore(path)
    assert not CodecTraining(TINY, TINY_LEG, AUDIO[::-1].copy()).restore(path)
    assert not CodecTraining(TINY, TINY_LEG, AUDIO, training.weights()).restore(path)


@pytest.mark.trains
def test_the_average_of_weights() -> None:
    """Is what the steps' weights say it is; the training itself does not depend on it."""
    plain, averaged = begin(), begin(TINY_LEG.model_copy(update={"average": 0.8}))
    name = "encoder.model.0.conv.conv.weight"
    expected = plain.weights()[name].clone()
    for _ in range(4):
        plain.step()
        averaged.step()
        expected = 0.8 * expected + 0.2 * plain.weights()[name]
    torch.testing.assert_close(averaged.weights()[name], expected)
    for key, value in plain.model.state_dict().items():
        torch.testing.assert_close(averaged.model.state_dict()[key], value, rtol=0, atol=0)


@pytest.mark.trains
def test_codebooks_hold_no_graph() -> None:
    """Replacing unused codes writes samples that carry gradients; they must not pile up."""
    training = begin()
    books = [m for m in training.model.modules() if isinstance(m, EuclideanCodebook)]
    for _ in range(6):  # codes are replaced every fifth time
        training.step()
        for book in books:
            assert book.embedding_sum.grad_fn is None
            assert book.cluster_usage.grad_fn is None


@pytest.mark.trains
@pytest.mark.slow
def test_training_learns() -> None:
    """The spectrum comes nearer to that of the one voice there is."""
    params = TINY.model_copy(update={"filters": 4})
    leg = TINY_LEG.model_copy(update={"steps": 150, "lr": 0.003})
    voice = (speechlike(20, seed=0) * 32767).astype(np.int16)
    training = CodecTraining(params, leg, voice)
    losses = [training.step()["log_mel"] for _ in range(leg.steps)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_segments_depend_on_the_generator_only() -> None:
    """And are of the length asked for, at levels within 6 dB of the recording's."""
    first, again = (draw_segments(AUDIO, 3, 4, np.random.default_rng(3)) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert first.shape == (3, 4 * FRAME_SIZE)
    assert first.dtype == torch.float32
    assert first.abs().max() <= 2 * (np.abs(AUDIO) / 32768).max()


def test_too_little_speech() -> None:
    """Ends in one line that names the setting."""
    with pytest.raises(InputError, match=r"codec\.mini\.corpora"):
        CodecTraining(TINY, TINY_LEG, AUDIO[:1000])


def test_speech_is_prepared_once(tmp_path: Path) -> None:
    """The corpora of `codec.mini`, not those of `ingest`; a second call finds them there."""
    ingest = ingest_params(
        corpora=["asterisk"],
        folder={"path": str(write_voices(tmp_path / "voices"))},
        test_voices=["voice1"],
        splits=SplitParams(train=0.6, validation=0.2, test=0.2),
    )
    mini = TINY.model_copy(update={"corpora": ["folder"]})
    manifest = training_speech(ingest, mini, tmp_path / "scratch")
    assert set(manifest["corpus"]) == {"folder"}
    audio = join_speech(manifest)
    assert audio.dtype == np.int16
    assert len(audio) == round(manifest["seconds"].sum() * 24000)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "scratch").rglob("*.flac")}
    assert training_speech(ingest, mini, tmp_path / "scratch").equals(manifest)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
