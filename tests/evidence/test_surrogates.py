"""Each surrogate loses what it should lose, and keeps the rest."""

import numpy as np
import pytest
import torch

from mimi_dynamics.diagnostics.processes import RHO
from mimi_dynamics.evidence.surrogates import (
    REORDERINGS,
    SURROGATES,
    keep_loudness,
    make_surrogates,
    permute,
    shuffle,
)
from mimi_dynamics.latents.sequences import Change, Sequences
from tests.harness.simulation import simulate


def labelled() -> Sequences:
    """Ten clips of different lengths whose frames know their clip, some of them voiced."""
    lengths = np.arange(4, 14)
    clip = np.repeat(np.arange(10), lengths)
    frames = torch.stack([torch.from_numpy(clip).float(), torch.arange(len(clip)).float()], 1)
    splits = np.array(["train"] * 6 + ["validation"] * 2 + ["test"] * 2)
    voiced, gated = torch.arange(len(clip)) % 3 == 0, torch.arange(len(clip)) % 5 == 2
    return Sequences(frames, voiced, gated, lengths, splits)


def test_shuffle_stays_within_clips() -> None:
    """The same frames in every clip, in another order; `voiced` travels with its frame."""
    real, generator = labelled(), torch.Generator().manual_seed(0)
    shuffled = shuffle(real, generator, first=0)
    assert torch.equal(shuffled.frames[:, 0], real.frames[:, 0])
    assert torch.equal(shuffled.frames[:, 1].sort().values, real.frames[:, 1])
    assert not torch.equal(shuffled.frames, real.frames)
    assert torch.equal(shuffled.voiced, shuffled.frames[:, 1] % 3 == 0)


@pytest.mark.parametrize("change", [shuffle, permute])
def test_gated_frames_stay_in_place(change: Change) -> None:
    """The others are reordered among themselves."""
    real = labelled()
    made = change(real, torch.Generator().manual_seed(0), 0)
    assert torch.equal(made.gated, real.gated)
    same = (made.frames == real.frames).all(1)
    assert same[real.gated].all()
    assert not same[~real.gated].all()


@pytest.mark.parametrize("name", REORDERINGS)
@pytest.mark.parametrize("first", [1, 3, 8])
def test_the_frames_that_are_scored_stay_the_same(name: str, first: int) -> None:
    """So that a surrogate has the very marginal of the data, and only the past differs."""
    real = labelled()
    made = SURROGATES[name](real, torch.Generator().manual_seed(0), first, 0)
    for split in np.unique(real.splits):
        before, after = (
            data.frames[(data.index_in_clip >= first) & (data.splits == split)[data.clip_of_frame]]
            for data in (real, made)
        )
        assert sorted(before.tolist()) == sorted(after.tolist())


def test_permute_stays_within_splits() -> None:
    """The same frames in every split, clips mixed."""
    real, generator = labelled(), torch.Generator().manual_seed(0)
    permuted = permute(real, generator, first=0)
    for split in ("train", "validation", "test"):
        before, after = real.select(split).frames, permuted.select(split).frames
        assert torch.equal(after[:, 1].sort().values, before[:, 1])
    assert not torch.equal(permuted.frames[:, 0], real.frames[:, 0])
    assert torch.equal(permuted.voiced, permuted.frames[:, 1] % 3 == 0)


def test_linear_keeps_the_linear_dynamics_only() -> None:
    """Variance and one-step correlation are those of the data; the frames are others."""
    real = simulate("linear", 40_000, 3)
    linear = make_surrogates(real, first=0, linear_order=2, seed=0)["linear"].frames.view(-1, 50, 3)
    assert linear.var().item() == pytest.approx(1, abs=0.06)
    lagged = (linear[:, 1:] * linear[:, :-1]).mean().item()
    assert lagged == pytest.approx(RHO, abs=0.06)


@pytest.mark.parametrize("name", SURROGATES)
def test_same_seed_same_surrogate(name: str) -> None:
    """And another seed, another one, if it draws anything."""
    real = simulate("linear", 2000, 2)
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1)]
    before = generators[0].get_state()
    first, again, other = (SURROGATES[name](real, drawn, 3, 2).frames for drawn in generators)
    draws = not torch.equal(before, generators[0].get_state())
    assert torch.equal(first, again)
    assert torch.equal(first, other) != draws


def test_loudness_stays_and_nothing_else() -> None:
    """Every frame comes from one as loud, of the same split but hardly ever of the same place."""
    real = simulate("white_noise", 20_000, 2)
    loudness = 20 * real.frames[:, 0].numpy()
    found = keep_loudness(real, loudness, torch.Generator().manual_seed(0), 8)
    after = 20 * found.frames[:, 0].numpy()
    assert np.corrcoef(loudness, after)[0, 1] > 0.99
    assert abs(np.corrcoef(real.frames[:, 1], found.frames[:, 1])[0, 1]) < 0.05
    for split in np.unique(real.splits):
        before, kept = (data.select(split).frames.sort(0).values for data in (real, found))
        assert torch.equal(before, kept)


@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate_has_the_shape_of_the_data(name: str) -> None:
    """Clips, splits and marginal scale stay; so that it passes through the identical code."""
    real = simulate("linear", 4000, 2)
    made = SURROGATES[name](real, torch.Generator().manual_seed(0), 3, 2)
    assert (made.lengths == real.lengths).all()
    assert (made.splits == real.splits).all()
    assert made.frames.shape == real.frames.shape
    assert made.frames.std(0) == pytest.approx(real.frames.std(0), rel=0.15)
    assert not torch.equal(made.frames, real.frames)
