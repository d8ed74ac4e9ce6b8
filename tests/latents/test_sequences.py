"""Batches hold the right target for every context, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.latents.lengths import reach_of
from mimi_dynamics.latents.sequences import (
    Sequences,
    difference_targets,
    make_batches,
    scored_frames,
)
from mimi_dynamics.pipeline.errors import InputError

LENGTHS = np.array([5, 12, 3, 30, 12])


def counted() -> Sequences:
    """Frames that know where they are: (clip, index)."""
    frames = torch.tensor([[c, i] for c, n in enumerate(LENGTHS) for i in range(n)]).float()
    splits = np.array(["train", "train", "test", "train", "test"])
    every = torch.ones(len(frames), dtype=torch.bool)
    return Sequences(frames, every, ~every, LENGTHS, splits)


@pytest.mark.parametrize("horizon", [1, 2, 8])
@pytest.mark.parametrize("batch_frames", [1, 40, 1000])
def test_targets_lie_horizon_ahead(horizon: int, batch_frames: int) -> None:
    """Same clip, index plus horizon, never below the warm-up; `frame` says which."""
    sequences, warmup, found = counted(), 4, []
    for batch in make_batches(sequences, horizon, warmup, batch_frames):
        now, target = batch.context[batch.scored], batch.target[batch.scored]
        assert torch.equal(now + torch.tensor([0.0, horizon]), target)
        assert torch.equal(sequences.frames[batch.frame], target)
        assert (target[:, 1] >= max(horizon, warmup)).all()
        found.append(batch.frame)
    expected = sum(max(0, n - max(horizon, warmup)) for n in LENGTHS)
    assert len(torch.cat(found).unique()) == expected


def test_all_horizons_within_warmup_score_the_same_frames() -> None:
    """So that gain(k) is about the same speech for every k."""
    frames = [
        torch.cat([b.frame for b in make_batches(counted(), k, 8, 100)]).sort().values
        for k in (1, 2, 4, 8)
    ]
    assert all(torch.equal(frames[0], other) for other in frames[1:])


def test_padding_is_zero_and_not_scored() -> None:
    """Past the end of a clip there is nothing."""
    (batch,) = make_batches(counted(), 1, 0, 10_000)
    assert scored_frames([batch]) == sum(LENGTHS - 1)
    assert batch.target[~batch.scored].abs().sum() == 0


def test_too_long_a_horizon_is_named() -> None:
    """The message says what was asked and what is possible."""
    with pytest.raises(InputError, match=r"horizon = 30 .*below the longest clip.*30 frames"):
        make_batches(counted(), 30, 0, 100)


def test_differences_stay_within_clips() -> None:
    """Δx is (0, horizon) everywhere but at the start of a clip, where it is zero."""
    delta = difference_targets(counted(), 2)
    index = np.concatenate([np.arange(n) for n in LENGTHS])
    assert torch.equal(
        delta[index >= 2], torch.tensor([0.0, 2.0]).expand(int((index >= 2).sum()), 2)
    )
    assert delta[index < 2].abs().sum() == 0


def test_select_keeps_whole_clips_in_order() -> None:
    """Only the clips of the split, frame by frame."""
    test = counted().select("test")
    assert test.lengths.tolist() == [3, 12]
    assert test.frames[:, 0].unique().tolist() == [2, 4]


def test_gated_frames_are_context_and_never_targets() -> None:
    """At any horizon; clips without a target are left out, and batches are never empty."""
    sequences = counted()
    gated = torch.zeros(len(sequences.frames), dtype=torch.bool)
    gated[::3] = True
    gated[: LENGTHS[0]] = True  # all of the first clip
    marked = replace(sequences, gated=gated)
    for horizon in (1, 2, 3):
        plain, kept = (
            make_batches(data, horizon, 0, batch_frames=10) for data in (sequences, marked)
        )
        frames = torch.cat([batch.frame for batch in plain])
        scored = torch.cat([batch.frame for batch in kept])
        assert scored.sort().values.equal(frames[~gated[frames]].sort().values)
        for batch in kept:
            assert batch.scored.any(1).all()
            assert batch.target[batch.scored].equal(sequences.frames[batch.frame])


def test_nothing_but_silence_is_named() -> None:
    sequences = counted()
    marked = replace(sequences, gated=torch.ones(len(sequences.frames), dtype=torch.bool))
    with pytest.raises(InputError, match="every frame of a split is in or beside digital silence"):
        make_batches(marked, 1, 0, batch_frames=10)


@pytest.mark.parametrize("lengths", [[4, 1, 5], [10]])
def test_reach_ends_with_the_last_frame_that_is_not_gated(lengths: list[int]) -> None:
    gated = np.random.default_rng(0).random(10) < 0.5
    clips = np.split(gated, np.cumsum(lengths)[:-1])
    expected = [max([0, *(np.flatnonzero(~clip) + 1)]) for clip in clips]
    assert reach_of(gated, np.array(lengths)).tolist() == expected


def test_targets_that_are_the_frames_change_nothing() -> None:
    """Bit for bit, at any distance; the change Δx has targets of its own."""
    sequences = counted()
    same = replace(sequences, targets=sequences.frames.clone())
    for split, horizon, delta in (("train", 1, False), ("test", 2, False), ("train", 2, True)):
        size = horizon, 0, 20
        plain = sequences.batches(split, *size, delta=delta)
        for ours, theirs in zip(same.batches(split, *size, delta=delta), plain, strict=True):
            assert all(torch.equal(own, other) for own, other in zip(ours, theirs, strict=True))


def test_targets_go_with_their_frames() -> None:
    """Through splits and parts of train; the context stays that of the frames."""
    sequences = counted()
    named = replace(sequences, targets=sequences.frames + 100)
    for kept in (named.select("train"), named.part_of_train(2), named):
        assert torch.equal(kept.targets, kept.frames + 100)
    for batch in named.batches("train", 2, 4, 40, delta=False):
        ahead = torch.tensor([100.0, 102.0])
        now, target = batch.context[batch.scored], batch.target[batch.scored]
        assert torch.equal(now + ahead, target)


def test_targets_that_are_not_finite_are_counted() -> None:
    sequences = counted()
    targets = sequences.frames.clone()
    targets[[2, 3], 0] = torch.nan
    broken = replace(sequences, targets=targets)
    with pytest.raises(InputError, match=r"2 of 47 frames of train \(real\) are not finite"):
        broken.check_finite("train", "real")
    broken.check_finite("test", "real")
