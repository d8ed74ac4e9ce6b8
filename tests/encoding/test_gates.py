"""Noise behind a gate has no dynamics: what a model predicts of the gate is not scored."""

import pytest

import gates
from gates import Gate, dynamic_gain, encoded, sequences
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.encoding import frames
from mimi_dynamics.pipeline.params import load_params

BESIDE = (frames.FRAMES_BEFORE, frames.FRAMES_AFTER)


def test_frames_beside_a_shut_gate_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few clips: what is trained on them takes minutes, and is left to `make nightly`."""
    monkeypatch.setattr(gates, "CLIPS", 10)
    clips = encoded(load_codec(load_params().codec), Gate(1.0))
    assert not sequences(clips, None).gated.any()
    assert 0.3 < sequences(clips, BESIDE).gated.float().mean() < 0.95


@pytest.mark.trains
@pytest.mark.slow
@pytest.mark.parametrize(
    "gate", [Gate(0.2), Gate(0.5, fade=0.05), Gate(1.0, dither=True), Gate(2.0)], ids=str
)
def test_gated_noise_has_no_dynamic_gain(gate: Gate) -> None:
    """Where every frame is a target it has 0.5 and more; 0.01 of the limit is the encoder's own."""
    params = load_params()
    clips = encoded(load_codec(params.codec), gate)
    assert abs(dynamic_gain(sequences(clips, BESIDE), params).value) <= 0.02
