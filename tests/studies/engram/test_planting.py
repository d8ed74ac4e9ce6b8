"""Planted motifs are worth what the formula says, and are nothing but motifs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.density.var import Var
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.engram.keys import Keys, in_split, make_keys
from mimi_dynamics.studies.engram.planting import (
    LEAST_SIGHTINGS,
    PLANE,
    before,
    fisher_noise,
    learnable_nats,
    plant,
)

CELLS, CLIPS, FRAMES, FIRST, ORDER = 5, 900, 40, 4, 3


def white(dim: int, clips: int = CLIPS, gated: bool = False) -> Sequences:
    """White Gaussian frames; a third of the clips are of test."""
    random = np.random.default_rng(2)
    frames = torch.from_numpy(random.standard_normal((clips * FRAMES, dim))).float()
    marks = torch.arange(len(frames)) % 11 == 7 if gated else torch.zeros(len(frames)).bool()
    splits = np.where(np.arange(clips) % 3 == 2, "test", "train")
    return Sequences(frames, ~marks, marks, np.full(clips, FRAMES), splits)


def random_keys(data: Sequences) -> Keys:
    """Keys that frames do not tell, as those of a codebook that has not heard them."""
    return Keys(np.random.default_rng(3).integers(0, CELLS, len(data.frames)), CELLS)


@pytest.mark.parametrize("nats", [0.02, 0.1, 0.35])
def test_a_learner_who_knows_noise_and_sizes_gains_what_the_formula_says(nats: float) -> None:
    """With two coordinates the plane is all there is, and the posterior mean the best guess."""
    data = white(PLANE)
    planted = plant(data, random_keys(data), torch.eye(PLANE), nats, FIRST, seed=4)
    frames = planted.data.frames.double().numpy()
    grams = before(planted.keys, data.lengths, ORDER)
    counted = ~data.gated.numpy() & (data.index_in_clip >= FIRST)
    train, test = (counted & in_split(data, split) for split in ("train", "test"))
    sums = np.stack([np.bincount(grams[train], of[train], grams.max() + 1) for of in frames.T], 1)
    n = np.bincount(grams[train], minlength=grams.max() + 1)
    assert n[n > 0].min() >= LEAST_SIGHTINGS  # so that every frame is shifted
    variance = planted.sd**2
    left = variance / (1 + n * variance)
    known = (left[:, None] * sums)[grams[test]], 1 + left[grams[test]]
    gain = log_normal(frames[test], *known) - log_normal(frames[test], 0.0, 1 + variance)
    assert planted.motif_share == 1
    assert planted.learnable_nats_per_frame == pytest.approx(nats, rel=1e-6)
    error = 3 * gain.std() / np.sqrt(len(gain)) + 0.12 * nats  # of frames, and of 125 shifts
    assert gain.mean() == pytest.approx(nats, abs=error)


def log_normal(x: np.ndarray, mean: np.ndarray | float, variance: np.ndarray | float) -> np.ndarray:
    """Log density of rows, up to a constant."""
    return -0.5 * np.sum((x - mean) ** 2, 1) / variance - PLANE / 2 * np.log(variance)


def test_more_sightings_teach_more_and_at_most_the_worth_of_a_known_shift() -> None:
    seen = learnable_nats(0.5, np.array([0, 20, 200, 10**9]))
    assert seen[0] == 0
    assert (np.diff(seen) > 0).all()
    assert seen[-1] == pytest.approx(PLANE / 2 * np.log(1 + 0.5**2))


def test_shifts_lie_in_a_plane_one_for_each_ngram_and_keys_stay_those_of_frames() -> None:
    """In coordinates of any noise; the plane is that of the noise."""
    data = white(4, clips=200, gated=True)
    keys = make_keys("kmeans", data, np.zeros(len(data.frames)), CELLS, 1, 0)
    root = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    noise = root @ root.T + torch.eye(4)
    planted = plant(data, keys, noise, 0.1, FIRST, seed=1)
    moved = (planted.data.frames - data.frames).double()
    assert torch.linalg.svdvals(moved)[PLANE:].max() < 1e-3 * torch.linalg.svdvals(moved)[0]
    grams = before(planted.keys, data.lengths, ORDER)
    whole = (data.index_in_clip >= ORDER) & ~data.gated.numpy()
    for gram in np.unique(grams[whole])[::9]:
        of_gram = moved[torch.from_numpy(whole & (grams == gram))]
        assert (of_gram - of_gram[0]).abs().max() < 1e-5
    assert not moved[~torch.from_numpy(whole)].any()
    shifted = moved.abs().amax(1) > 0
    assert (keys.assign(planted.data.frames.numpy()) == planted.keys.values)[shifted].all()
    worth = torch.linalg.solve(noise.double(), moved[shifted].T).T * moved[shifted]
    assert worth.sum(1).mean() == pytest.approx(PLANE * planted.sd**2, rel=0.35)


def test_nothing_planted_is_the_data_itself() -> None:
    data = white(3, clips=90)
    planted = plant(data, random_keys(data), torch.eye(3), 0.0, FIRST, seed=1)
    assert (planted.data.frames == data.frames).all()
    assert planted.learnable_nats_per_frame == planted.sd == 0


def test_rare_ngrams_carry_nothing() -> None:
    data = white(3, clips=90)
    keys = Keys(np.arange(len(data.frames)), len(data.frames))
    with pytest.raises(InputError, match="too few n-grams occur 20 times in train"):
        plant(data, keys, torch.eye(3), 0.02, FIRST, seed=1)


def test_shifts_of_a_clip_do_not_depend_on_what_follows() -> None:
    data = white(3, clips=200)
    keys = make_keys("kmeans", data, np.zeros(len(data.frames)), CELLS, 1, 0)
    last = torch.from_numpy((data.index_in_clip >= 30) & in_split(data, "test"))
    frames = torch.where(last[:, None], data.frames + 2, data.frames)
    other = replace(data, frames=frames)
    values = keys.assign(frames.numpy())
    first, second = (
        plant(of, replace(keys, values=k), torch.eye(3), 0.1, FIRST, seed=1).data.frames
        for of, k in ((data, keys.values), (other, values))
    )
    assert (first[~last] == second[~last]).all()
    assert (first[last] != second[last]).any()


def test_fisher_noise_of_a_gaussian_is_its_covariance() -> None:
    covariance = torch.tensor([[1.0, 0.6], [0.6, 2.0]])
    data = white(2, clips=120)
    frames = data.frames @ torch.linalg.cholesky(covariance).T
    batches = make_batches(replace(data, frames=frames).select("test"), 1, FIRST, 500)
    var = Var(torch.zeros(0, 2, 2), torch.zeros(2), covariance)

    class Known(torch.nn.Module):
        def forward(self, batch: Batch) -> torch.Tensor:
            return -var.log_prob(batch)

    torch.testing.assert_close(
        fisher_noise(Known(), batches).float(), covariance, atol=0.15, rtol=0.1
    )
