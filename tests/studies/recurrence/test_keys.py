"""Keys look back only, learn from train only, and can be better than the frame itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.studies.recurrence import keys
from mimi_dynamics.studies.recurrence.keys import (
    KEYS,
    METRICS,
    KeyData,
    codes_key,
    keys_of,
    learned_key,
    past_frames,
)
from mimi_dynamics.studies.recurrence.lookup import Lookup, look_up
from tests.harness.simulation import simulate


def key_data(sequences: Sequences, **changes: object) -> KeyData:
    """Small, one frame ahead, with the sign of the first coordinate for a code."""
    defaults = {
        "codes": (sequences.frames[:, 0] > 0).long(),
        "scale": torch.linspace(3, 1, sequences.dim),
        "horizon": 1,
        "warmup_frames": 8,
        "var_order": 2,
        "lr": 2e-3,
        "epochs": 1,
        "seed": 0,
    }
    return KeyData(sequences, **(defaults | changes))


@pytest.mark.trains
@pytest.mark.parametrize("name", KEYS)
def test_keys_know_neither_the_future_nor_what_is_held_out(name: str) -> None:
    """Other frames from some point of each test clip on: no key before it, or of train, changes."""
    data = key_data(simulate("linear", 5000, 3))
    sequences = data.sequences
    held_out = torch.from_numpy((sequences.splits == "test")[sequences.clip_of_frame])
    within = torch.arange(len(held_out)) % 50
    changed = held_out & (within >= 30)
    frames = torch.where(changed[:, None], 5 - sequences.frames, sequences.frames)
    other = replace(
        data, sequences=replace(sequences, frames=frames), codes=data.codes + changed.long()
    )
    before, after = KEYS[name].make(data), KEYS[name].make(other)
    assert torch.equal(before[~changed], after[~changed])
    assert torch.equal(before, after) == (name == "random")


def test_without_codes_they_are_no_key_and_frames_are_shuffled_as_with_them() -> None:
    """As of latents of somebody's own."""
    data = key_data(simulate("linear", 2000, 2))
    without = replace(data, codes=None)
    assert set(keys_of(data)) - set(keys_of(without)) == {"codes"}
    mixed = without.shuffled()
    assert mixed.codes is None
    assert torch.equal(mixed.sequences.frames, data.shuffled().sequences.frames)


def test_of_a_large_corpus_every_nth_clip_of_each_split_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its codes; a split that is small stays whole, whatever the others are."""
    data = key_data(simulate("linear", 5000, 3))
    assert torch.equal(data.few_enough().sequences.frames, data.sequences.frames)
    lengths = {s: int((data.sequences.splits == s).sum()) * 50 for s in ("train", "validation")}
    monkeypatch.setattr(keys, "MOST_FRAMES", lengths["validation"])
    step = -(-lengths["train"] // lengths["validation"])
    assert step > 1
    few = data.few_enough()
    for split in ("train", "validation", "test"):
        whole, part = (of.sequences.select(split).frames.view(-1, 50, 3) for of in (data, few))
        assert torch.equal(part, whole[:: step if split == "train" else 1])
    assert torch.equal(few.codes, (few.sequences.frames[:, 0] > 0).long())


def test_past_stops_at_the_start_of_the_clip() -> None:
    """Newest first; zeros, or code -1, from before the clip."""
    frames = torch.tensor([1.0, 2, 3, 11, 12])[:, None]
    every, splits = torch.ones(5, dtype=torch.bool), np.array(["train", "test"])
    sequences = Sequences(frames, every, ~every, np.array([3, 2]), splits)
    past = past_frames(sequences, 3).squeeze(2).tolist()
    assert past == [[1, 0, 0], [2, 1, 0], [3, 2, 1], [11, 0, 0], [12, 11, 0]]
    codes = codes_key(key_data(sequences, codes=frames[:, 0].long())).tolist()
    assert codes == [[1, -1], [2, 1], [3, 2], [11, -1], [12, 11]]


def test_shuffled_frames_stay_in_their_clips_with_their_codes() -> None:
    """Other order, same content, clip by clip."""
    data = key_data(simulate("linear", 2000, 3))
    mixed = data.shuffled()
    assert not torch.equal(mixed.sequences.frames, data.sequences.frames)
    assert torch.equal(mixed.codes, (mixed.sequences.frames[:, 0] > 0).long())
    for before, after in zip(
        data.sequences.frames.split(50), mixed.sequences.frames.split(50), strict=True
    ):
        assert torch.equal(before.sort(0).values, after.sort(0).values)


def test_mahalanobis_forgets_any_linear_map() -> None:
    """Distances are the same after stretching and mixing the coordinates."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(200, 4, generator=generator)
    mixing = torch.randn(4, 4, generator=generator)
    distances = [
        torch.cdist(mapped, mapped, compute_mode="donot_use_mm_for_euclid_dist")
        for mapped in (METRICS["mahalanobis"](k, k[:150]) for k in (keys, keys @ mixing + 3))
    ]
    torch.testing.assert_close(*distances, rtol=1e-3, atol=1e-3)


@pytest.mark.trains
def test_learned_key_is_the_same_again() -> None:
    """And leaves the default generator alone."""
    data = key_data(simulate("linear", 2000, 3))
    torch.manual_seed(5)
    first = learned_key(data)
    after = torch.rand(1)
    second = learned_key(data)
    torch.manual_seed(5)
    assert torch.equal(first, second)
    assert torch.equal(after, torch.rand(1))


def driven(clips: int, frames: int, responses: int, seed: int) -> Sequences:
    """The first coordinate u is noise; all others follow its square, and carry noise of their own.

    Their mean given the past is (u² − 1) / √2, of variance 1 like their noise: a share of
    `responses` / (2 `responses` + 1) of the variance is explained by one coordinate of many, and
    none of it by a linear model.
    """
    generator = torch.Generator().manual_seed(seed)
    driver = torch.randn(clips, frames + 1, 1, generator=generator)
    noise = torch.randn(clips, frames, responses, generator=generator)
    response = (driver[:, :-1].square() - 1) / 2**0.5 + noise
    shares = np.searchsorted([0.8, 0.9], (np.arange(clips) + 0.5) / clips)
    return Sequences(
        frames=torch.cat([driver[:, 1:], response], 2).reshape(clips * frames, -1),
        voiced=torch.ones(clips * frames, dtype=torch.bool),
        gated=torch.zeros(clips * frames, dtype=torch.bool),
        lengths=np.full(clips, frames),
        splits=np.array(["train", "validation", "test"])[shares],
    )


@pytest.mark.trains
def test_learned_key_finds_the_one_coordinate_that_matters() -> None:
    """It explains most of what can be explained; the frame itself less, a linear model nothing."""
    data = key_data(driven(400, 50, 8, seed=0), lr=4e-3, epochs=6)
    explained = {}
    for name in ("learned", "whitened", "predicted_mean"):
        by_metric = look_up(Lookup("real", name, data, [1, 4, 16, 64], 4))
        test = by_metric[KEYS[name].metrics[0]].scores["test"]
        explained[name] = 1 - test.error[:, 0].mean() / test.baseline[:, 0].mean()
    assert explained["learned"] > 0.7 * 8 / 17
    assert explained["learned"] > explained["whitened"] + 0.05
    assert explained["predicted_mean"] < 0.02


def test_pooled_cells_are_not_learned_from_gated_frames() -> None:
    """Other frames in clips that are all gated: the same keys in all others."""
    sequences = simulate("linear", 5000, 3)
    gated = torch.from_numpy(sequences.clip_of_frame % 5 == 0)
    frames = torch.where(gated[:, None], 9 + sequences.frames, sequences.frames)
    for marked, same in ((gated, True), (sequences.gated, False)):
        before, after = (
            KEYS["pooled"].make(key_data(replace(sequences, frames=of, gated=marked)))
            for of in (sequences.frames, frames)
        )
        assert torch.equal(before[~gated], after[~gated]) == same
