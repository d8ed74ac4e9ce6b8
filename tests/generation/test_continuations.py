"""Continuations to listen to begin with what was said, and go on as each generator wants."""

import numpy as np
import pytest
import torch

from mimi_dynamics.generation.continuations import listen
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.generation.rollouts import linear_floor
from mimi_dynamics.pipeline.params import load_params
from tests.generation.test_rollouts import known_var, some_clips
from tests.harness import ROOT

PROMPT, LONGEST = 6, 4


def first_coordinate(frames: torch.Tensor) -> np.ndarray:
    """Stand in for a codec whose frames are one sample long."""
    return frames[:, 0].numpy()


def test_continuations_begin_with_what_was_said() -> None:
    """The same prompt in all sounds of a clip, then the truth or samples that differ."""
    params = load_params(ROOT / "params.yaml")
    settings = {"listen_clips": 2, "listen_samples": 2, "listen_prompt_frames": PROMPT}
    rollout = params.rollout.model_copy(update=settings)
    params = params.model_copy(update={"rollout": rollout, "horizons": [1, LONGEST]})
    test = some_clips(20, 5, 30)
    generator = Generator(linear_floor(known_var()), test)
    names = np.array(["a", "b", "c"])
    clips = listen(params, {"one": generator, "two": generator}, test, names, first_coordinate)
    assert [clip.name for clip in clips] == ["c", "a"]
    for clip, begin in zip(clips, (25, 0), strict=True):
        assert clip.prompt_seconds == pytest.approx(PROMPT / test.frame_rate)
        assert list(clip.sounds) == ["recorded", "one 1", "one 2", "two 1", "two 2"]
        truth = first_coordinate(test.frames[begin : begin + PROMPT + LONGEST])
        assert np.array_equal(clip.sounds["recorded"], truth)
        for sound in clip.sounds.values():
            assert np.array_equal(sound[:PROMPT], truth[:PROMPT])
        ends = np.stack([sound[PROMPT:] for sound in clip.sounds.values()])
        assert ends.shape == (5, LONGEST)
        assert len(np.unique(ends, axis=0)) == 5
