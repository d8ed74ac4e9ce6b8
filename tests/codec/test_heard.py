"""What lies in gated frames makes no difference to how far two sounds are from each other."""

import numpy as np
import pytest
import torch

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.codec.heard import silence_gated
from mimi_dynamics.codec.log_mel import heard_distance, log_mel_distance
from mimi_dynamics.codec.pitch import compare_pitch
from tests.harness.speechlike import speechlike

FRAMES = 25
PAIR = [torch.from_numpy(speechlike(2.0, seed)) for seed in (0, 1)]
NONE = np.zeros(FRAMES, bool)
SOME = np.isin(np.arange(FRAMES), [0, 7, 8, 9, 11, 24])


def changed_within(gated: np.ndarray) -> list[torch.Tensor]:
    """The pair, with loud noise in gated frames, which differs between the two."""
    inside = torch.from_numpy(gated).repeat_interleave(FRAME_SIZE)
    generator = torch.Generator().manual_seed(0)
    return [torch.where(inside, torch.randn(a.shape, generator=generator), a) for a in PAIR]


def test_nothing_gated_is_the_plain_distance() -> None:
    """To the bit, also of a sound that ends within a frame, and of a pitch."""
    for samples in (FRAMES * FRAME_SIZE, FRAMES * FRAME_SIZE - 700):
        first, second = (audio[:samples] for audio in PAIR)
        plain = log_mel_distance(first[None], second[None]).item()
        assert heard_distance(first, second, NONE) == plain
        assert compare_pitch(first, second, NONE) == compare_pitch(first, second)


def test_what_is_in_gated_frames_does_not_move_a_distance() -> None:
    """But it does where it counts."""
    noisy = changed_within(SOME)
    assert heard_distance(*noisy, SOME) == heard_distance(*PAIR, SOME)
    assert compare_pitch(*noisy, SOME) == compare_pitch(*PAIR, SOME)
    assert heard_distance(*noisy, NONE) != heard_distance(*PAIR, NONE)


def test_equal_frames_that_are_gated_do_not_bring_sounds_nearer() -> None:
    """Silence that both share would, if it counted."""
    silent = [silence_gated(audio, SOME) for audio in PAIR]
    shared = log_mel_distance(silent[0][None], silent[1][None]).item()
    assert heard_distance(*silent, SOME) > 1.1 * shared


@pytest.mark.parametrize("frame", [0, 12, FRAMES - 1])
def test_a_single_frame_is_enough(frame: int) -> None:
    """And none at all gives no number."""
    assert heard_distance(*PAIR, np.arange(FRAMES) != frame) > 0
    assert np.isnan(heard_distance(*PAIR, ~NONE))
