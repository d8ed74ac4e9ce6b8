"""Latents given as (dim, frames) are told, and those given as they should be are not."""

import numpy as np
import pytest

from mimi_dynamics.own_latents.axes import Neighbours

CLIPS, FRAMES, DIM = 30, 150, 16


def seen(clips: list[np.ndarray]) -> Neighbours:
    """What is known after all clips."""
    neighbours = Neighbours()
    for clip in clips:
        neighbours.see(clip)
    return neighbours


def autoregressions(coefficient: float) -> list[np.ndarray]:
    """Clips (FRAMES, DIM) in which each frame is a share of the one before and noise."""
    random, clips = np.random.default_rng(0), []
    for _ in range(CLIPS):
        noise = random.normal(size=(FRAMES, DIM)) * np.sqrt(1 - coefficient**2)
        clip = [random.normal(size=DIM)]
        for new in noise[1:]:
            clip.append(coefficient * clip[-1] + new)
        clips.append(np.stack(clip).astype(np.float32))
    return clips


@pytest.mark.parametrize("coefficient", [0.3, 0.6, 0.9])
def test_only_what_is_transposed_gets_a_warning(coefficient: float) -> None:
    clips = autoregressions(coefficient)
    right, wrong = seen(clips), seen([clip.T for clip in clips])
    assert right.warning() is None
    assert right.correlations == pytest.approx((coefficient, 0), abs=0.05)
    assert "are these (frames, dim)?" in str(wrong.warning())
    assert wrong.correlations[1] == pytest.approx(coefficient, abs=0.05)


def test_of_clips_of_one_frame_there_is_nothing_to_say() -> None:
    assert seen([np.ones((1, DIM), np.float32)] * 3).warning() is None


def test_neither_white_noise_nor_smooth_spectra_get_one() -> None:
    """The bands of a spectrum are alike, and so are its frames."""
    assert seen(autoregressions(0)).warning() is None
    kernel = np.ones(4) / 4
    spectra = [
        np.apply_along_axis(np.convolve, 1, clip, kernel, "valid") for clip in autoregressions(0.6)
    ]
    assert seen(spectra).warning() is None
