"""A component has the effect on the sound that the decoder gives it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.latents.normalizer import fit_normalizer, levels_known
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.quality.components import component_effects


class LoudnessCodec:
    """Turns the first coordinate of a latent into the loudness of a tone, and ignores the other."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(clips, samples) of (clips, frames, 2)."""
        level = latents[..., 0].repeat_interleave(1920, -1).exp()
        return 0.01 * level * torch.sin(torch.arange(level.shape[-1]) * 0.2)


def two_clips() -> Latents:
    """Of 30 frames of noise each."""
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(60, 2)) * [1.0, 0.2]).astype(np.float32)
    return Latents(
        clip_ids=np.array(["a", "b"]),
        voices=np.array(["v", "v"]),
        splits=np.array(["test", "test"]),
        lengths=np.array([30, 30]),
        values=values,
        rms_db=np.zeros(60, np.float32),
        gated=np.zeros(60, bool),
        codes=np.zeros((60, 1), np.int16),
        info={"frame_rate": 12.5},
    )


def test_only_what_is_heard_has_an_effect() -> None:
    """Of two components, only the one that the decoder turns into sound has an effect."""
    latents = two_clips()
    normalizer = fit_normalizer(latents.values, 2)
    effects = component_effects(LoudnessCodec(), normalizer, latents, 2, 0)
    assert effects.shape == (2,)
    assert effects[0] > 3 * effects[1]


def test_what_is_in_gated_frames_has_no_effect() -> None:
    """Nor has a clip that is all gated."""
    latents = two_clips()
    normalizer = fit_normalizer(latents.values, 2)
    gated = (np.arange(60) % 7 == 3) | (np.arange(60) >= 30)
    noise = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)
    values = np.where(gated[:, None], noise, latents.values)
    found, other, all_count = (
        component_effects(LoudnessCodec(), normalizer, of, 2, 0)
        for of in (
            replace(latents, gated=gated),
            replace(latents, gated=gated, values=values),
            replace(latents, values=values),
        )
    )
    assert np.array_equal(found, other)
    assert not np.array_equal(found, all_count)
    with pytest.raises(InputError, match="every frame of test that could be decoded is gated"):
        component_effects(LoudnessCodec(), normalizer, replace(latents, gated=gated | True), 2, 0)


def test_levels_are_known_if_they_differ() -> None:
    latents = two_clips()
    assert not levels_known(latents)
    assert levels_known(replace(latents, rms_db=np.arange(60, dtype=np.float32)))
