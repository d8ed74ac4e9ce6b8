"""Sets hold what their names say, and no frame of the future."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.ranking.sets import (
    SETS,
    RankedSet,
    make_set,
    noised,
    smoothed,
    spec_of,
    stacked,
    unchanged,
)
from tests.studies.ranking.carrier import CarrierCodec

LENGTHS = np.array([5, 8, 3])


def encoded(dim: int = 64) -> RankedSet:
    """Three clips of random frames."""
    generator = torch.Generator().manual_seed(0)
    frames = int(LENGTHS.sum())
    data = Sequences(
        frames=torch.randn(frames, dim, generator=generator),
        voiced=torch.ones(frames, dtype=torch.bool),
        gated=torch.arange(frames) % 6 == 0,
        lengths=LENGTHS,
        splits=np.array(["train", "test", "test"]),
    )
    speech = replace(data, targets=torch.randn(frames, dim, generator=generator))
    normalizer = Normalizer(np.zeros(dim), np.eye(dim), np.ones(dim))
    latents = Latents(data.frames.numpy(), *[None] * 8)
    return RankedSet("codec", CarrierCodec(dim), latents, normalizer, data, speech)


def test_leading_components_are_kept() -> None:
    made = make_set("codec_8", encoded(), 0)
    assert made.name == "codec_8"
    assert torch.equal(made.data.frames, encoded().data.frames[:, :8])
    assert made.speech is not None
    assert made.speech.targets is not None
    assert made.speech.targets.shape[1] == made.normalizer.components.shape[0] == 8


def test_noise_has_the_variance_asked_for_and_its_seed() -> None:
    of = encoded()
    first, again, other = (noised(0.5)(of, seed).data.frames for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first - of.data.frames).std().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("change", [smoothed(2), smoothed(4), noised(0.5), unchanged])
def test_no_frame_tells_of_the_future_or_of_another_clip(change: object) -> None:
    of = encoded()
    before = change(of, 0).data.frames
    for frame in range(len(before)):
        moved = of.data.frames.clone()
        moved[frame] += 1
        after = change(replace(of, data=replace(of.data, frames=moved)), 0).data.frames
        changed = (after != before).any(1).nonzero()[:, 0]
        same_clip = of.data.clip_of_frame[changed.numpy()] == of.data.clip_of_frame[frame]
        assert (changed >= frame).all()
        assert same_clip.all()


def test_a_smoothed_frame_is_a_mean() -> None:
    of = encoded()
    frames, mean = of.data.frames, smoothed(2)(of, 0).data.frames
    assert torch.allclose(mean[0], frames[0])
    assert torch.allclose(mean[1], (frames[0] + frames[1]) / 2)
    assert torch.allclose(mean[5], frames[5])  # the first of its clip
    assert smoothed(2)(of, 0).speech is None


def test_steps_of_two_frames_decode_as_the_frames_do() -> None:
    of = encoded()
    steps = stacked(of, 0)
    assert (steps.data.lengths == LENGTHS // 2).all()
    assert steps.speech is None
    second = of.data.frames[5:13]  # the clip of even length
    pairs = steps.data.frames[2:6]
    assert torch.equal(pairs.reshape(8, -1), second)
    assert steps.data.gated[2].item() == of.data.gated[5:7].any().item()
    sounds = of.decode(second[None]), steps.decode(pairs[None])
    assert sounds[0].shape == (1, 8 * FRAME_SIZE)
    assert (sounds[0] == sounds[1]).all()


def test_every_set_can_be_made() -> None:
    for name, spec in SETS.items():
        made = make_set(name, encoded(), 0)
        assert made.data.dim == spec.components * made.frames_per_step
        assert made.decode(made.data.frames[None, :2]).shape == (
            1,
            2 * made.frames_per_step * FRAME_SIZE,
        )


def test_an_unknown_set_is_told() -> None:
    with pytest.raises(InputError, match="'opus': must be one of codec, codec_8"):
        spec_of("opus")
