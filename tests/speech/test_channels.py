"""Channels as recorders leave them: which are averaged, which are left out, and what is said."""

from pathlib import Path

import numpy as np
import pytest

from mimi_dynamics.speech.audio import Limits, read_parts
from mimi_dynamics.speech.channels import mix
from tests.harness.audio_files import write_sound
from tests.harness.speechlike import speechlike

RATE = 24_000
VOICE, OTHER = speechlike(2.0, seed=1), speechlike(2.0, seed=2)
NOTHING = np.zeros_like(VOICE)
HISS = np.random.default_rng(0).normal(0, 3e-4, VOICE.size).astype(np.float32)

# What is heard, by what the channels hold, and what is noted.
CASES = {
    "mono": ([VOICE], VOICE, []),
    "both": ([VOICE, VOICE], VOICE, []),
    "two speakers": ([VOICE, OTHER], (VOICE + OTHER) / 2, []),
    "left only": ([VOICE, NOTHING], VOICE, ["dead channel 2"]),
    "left is off": ([HISS, VOICE], VOICE, ["dead channel 1"]),
    "inverted": ([VOICE, -VOICE], VOICE, ["inverted channel 2"]),
    "inverted, -1 dB": ([VOICE, -0.89 * VOICE], VOICE, ["inverted channel 2"]),
    "inverted, +6 dB": ([-VOICE / 2, VOICE], VOICE, ["inverted channel 1"]),
    "inverted and hiss": ([VOICE + HISS, -VOICE], VOICE, ["inverted channel 2"]),
    "inverted, 0.04 ms late": ([VOICE, -0.99 * np.roll(VOICE, 1)], VOICE, ["inverted channel 2"]),
    "one of three inverted": ([VOICE, -VOICE, VOICE], VOICE, ["inverted channel 2"]),
    "dead but for an offset": ([VOICE, NOTHING + 0.3], VOICE, ["dead channel 2"]),
    "offset": ([VOICE + 0.15], VOICE, ["offset 0.150"]),
    "offset down": ([VOICE - 0.4, VOICE - 0.2], VOICE, ["offset -0.300"]),
    "offset of one": ([VOICE, VOICE + 0.2], VOICE, ["offset 0.100"]),
    "offset too small": ([VOICE + 0.009], VOICE + 0.009, []),
    "centre of 5.1": ([NOTHING] * 2 + [VOICE] + [NOTHING] * 3, VOICE, ["dead channel"] * 5),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_heard(tmp_path: Path, name: str) -> None:
    channels, heard, notes = CASES[name]
    path = write_sound(tmp_path / "a.wav", np.stack(channels, 1), RATE, "FLOAT")
    (part,) = read_parts(path, Limits(3.0))
    assert part.reason == ""
    assert len(part.notes) == len(notes)
    assert all(map(str.startswith, part.notes, notes))
    np.testing.assert_allclose(part.sound, heard, atol=2e-3)


@pytest.mark.parametrize("value", [0.005, 0.01, -0.5])
def test_a_constant_is_silence(tmp_path: Path, value: float) -> None:
    path = write_sound(tmp_path / "a.wav", np.full((RATE, 2), value, np.float32), RATE, "FLOAT")
    assert [part.reason for part in read_parts(path, Limits(3.0))] == ["silent"]


def test_what_is_too_short_for_an_offset_is_averaged() -> None:
    """The mean of a few samples is sound."""
    channels = np.stack([np.full(100, 0.5), np.full(100, 0.1)]).astype(np.float32)
    mono, notes = mix(channels, RATE)
    assert notes == []
    np.testing.assert_allclose(mono, 0.3, atol=1e-6)
