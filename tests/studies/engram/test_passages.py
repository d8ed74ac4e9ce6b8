"""Passages that train has are told from those it has not, and so is the help of a memory there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.studies.engram.keys import make_keys
from mimi_dynamics.studies.engram.metrics import QUARTERS, Effects
from mimi_dynamics.studies.engram.passages import distance_from_train, whole_passages
from mimi_dynamics.studies.engram.study import Subject, Trained
from tests.studies.engram.test_engram import PREDICT

DIM, FRAMES, LENGTH = 8, 20, 4
SPLITS = np.array(["train"] * 30 + ["test"] * 8)


def with_repeats(noise: float) -> Sequences:
    """White frames; the first two of eight test clips say again what two of train said."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(len(SPLITS), FRAMES, DIM, generator=generator)
    frames[30:32] = frames[4:6] + noise * torch.randn(2, FRAMES, DIM, generator=generator)
    voiced = torch.ones(len(SPLITS) * FRAMES, dtype=torch.bool)
    return Sequences(frames.flatten(0, 1), voiced, ~voiced, np.full(len(SPLITS), FRAMES), SPLITS)


def every_end() -> np.ndarray:
    """All frames of the test clips that a passage can end at."""
    return np.concatenate([np.arange(FRAMES)[LENGTH - 1 :] + FRAMES * clip for clip in range(8)])


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_repeated_passages_have_the_distance_of_their_noise(noise: float) -> None:
    distance = distance_from_train(with_repeats(noise), "test", every_end(), LENGTH)
    repeated = every_end() < 2 * FRAMES
    assert distance[repeated].mean() == pytest.approx(noise**2 / 2, rel=0.1, abs=1e-9)
    assert distance[~repeated].min() > 0.2


def test_the_unit_is_the_distance_of_unrelated_passages() -> None:
    """Of few passages of many coordinates the nearest is hardly nearer than any."""
    ends = np.arange(FRAMES - 1, 8 * FRAMES, FRAMES)
    distance = distance_from_train(with_repeats(0.0), "test", ends, FRAMES)
    assert distance[:2] == pytest.approx(0, abs=1e-9)
    assert 0.7 < distance[2:].mean() < 1


def test_no_passage_runs_from_one_clip_into_the_next() -> None:
    data = with_repeats(0.0)
    frames = data.frames.reshape(len(SPLITS), FRAMES, DIM).clone()
    frames[35, 6:8], frames[35, 8:10] = frames[10, -2:], frames[11, :2]  # across their border
    frames[36, 6:10] = frames[10, -4:]  # within one
    changed = replace(data, frames=frames.flatten(0, 1))
    ends = np.array([5 * FRAMES + 9, 6 * FRAMES + 9])
    across, within = distance_from_train(changed, "test", ends, LENGTH)
    assert across > 0.2
    assert within == pytest.approx(0, abs=1e-9)


def test_help_is_put_where_it_is() -> None:
    """A memory that helps by 2 nats on the repeated quarter, and nowhere else."""
    data = with_repeats(0.1)
    keys = make_keys("kmeans", data, np.zeros(len(data.frames), np.int64), 4, 1, 0)
    subject = Subject("raw", data, keys, None, PREDICT)
    scored = 8 * (FRAMES - PREDICT.warmup_frames)
    trained = {
        variant: [Trained(None, {"test": np.zeros(scored)}, {}, {})]
        for variant in ("engram", "iso_parameter")
    }
    effects = Effects(subject, trained, "test", 200, 0)
    first = np.isin(effects.clip, np.unique(effects.clip)[:2])
    trained["engram"][0].nll["test"] = np.where(first, -2.0, 0.0)
    found = effects.by_passage()
    assert list(found) == list(QUARTERS)
    assert [of["help_nats_per_frame"] for of in found.values()] == pytest.approx([2, 0, 0, 0])
    distances = [of["distance"] for of in found.values()]
    assert distances == sorted(distances)
    assert distances[0] < 0.01 < 0.2 < distances[1]


def test_passages_with_gated_frames_are_not_compared() -> None:
    """What is in gated frames of train moves no distance, and no passage of test holds one."""
    data = with_repeats(0.2)
    gated = torch.arange(len(data.frames)) % 10 == 4
    noise = torch.randn(data.frames.shape, generator=torch.Generator().manual_seed(1))
    ends = every_end()
    of_test = replace(data, gated=gated).select("test")
    ends = ends[whole_passages(of_test, ends, LENGTH)]
    held = np.array([of_test.gated[end - LENGTH + 1 : end + 1].any() for end in every_end()])
    assert len(ends) == (~held).sum() < len(every_end())
    found, other = (
        distance_from_train(replace(data, frames=frames, gated=gated), "test", ends, LENGTH)
        for frames in (data.frames, torch.where(gated[:, None], noise, data.frames))
    )
    assert np.array_equal(found, other)
