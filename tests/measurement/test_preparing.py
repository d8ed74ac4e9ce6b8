"""What is measured, on which side of the split, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mimi_dynamics.measurement.preparing import Prepared, prepare
from mimi_dynamics.measurement.splitting import drawn_splits
from mimi_dynamics.own_latents.pieces import LEAST_CLIPS, pieces_of
from mimi_dynamics.own_latents.reading import read_source
from mimi_dynamics.pipeline.errors import InputError

SIDES = ("train", "validation", "test")


def noise(clips: int = 25, frames: int = 200, dim: int = 4) -> np.ndarray:
    """White noise, (clips, frames, dim)."""
    return np.random.default_rng(0).normal(size=(clips, frames, dim)).astype("float32")


def prepared(latents: object, **arguments: object) -> Prepared:
    """What is measured of these latents."""
    return prepare(read_source(latents), **arguments)


def refused(latents: object, **arguments: object) -> str:
    """The line that these latents end in."""
    with pytest.raises(InputError) as caught:
        prepared(latents, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_axes_the_wrong_way_round_are_asked_about() -> None:
    """In a note, or where too little is left in the line that says so."""
    random = np.random.default_rng(0)
    drift = random.normal(size=(40, 300, 200)).astype("float32").cumsum(2) / 10
    question = "are these (frames, dim)?"
    assert any(question in note for note in prepared(drift).notes)
    assert not any(question in note for note in prepared(drift.transpose(0, 2, 1)).notes)
    assert "(4, 200), are these the wrong way round?" in refused(noise(frames=4, dim=200))
    assert "wrong way" not in refused(noise(frames=100))


def test_coordinates_are_white_on_train() -> None:
    mixed = noise() @ np.random.default_rng(1).normal(size=(4, 4)).astype("float32") + 3
    found = prepared(mixed)
    train = found.sequences.select("train").frames
    assert train.mean(0).abs().max() < 0.01
    torch.testing.assert_close(torch.cov(train.T), torch.eye(4), atol=0.01, rtol=0)
    assert found.facts["variance_kept"] == pytest.approx(1, abs=1e-5)
    assert found.sequences.lengths.tolist() == [200] * 25


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 4000), min_size=LEAST_CLIPS, max_size=60),
    groups=st.one_of(st.none(), st.integers(1, 12)),
    seed=st.integers(0, 10),
)
def test_clips_and_groups_are_on_one_side(
    lengths: list[int], groups: int | None, seed: int
) -> None:
    """All frames are used once, and no clip, nor any of enough groups, is on two sides."""
    arrays = [np.broadcast_to(np.float32(0), (length, 2)) for length in lengths]
    pieces = pieces_of(read_source(arrays).clips, [])
    assert sum(piece.frames for piece in pieces) == sum(lengths)
    of = None if groups is None else [str(piece.unit % groups) for piece in pieces]
    sides = drawn_splits(pieces, of, seed)
    assert {*sides} == {*SIDES}
    assert sides.tolist() == drawn_splits(pieces, of, seed).tolist()
    kept_together = [str(piece.unit) for piece in pieces]
    if of is not None and groups is not None and groups >= 5:
        kept_together = of
    by_name: dict[str, set[str]] = {}
    for name, side in zip(kept_together, sides, strict=True):
        by_name.setdefault(name, set()).add(side)
    assert all(len(of_name) == 1 for of_name in by_name.values())


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(5000, 200_000))
def test_one_array_is_cut_into_blocks_with_gaps(frames: int) -> None:
    """At least 20, none of which touches another; nearly all frames are used."""
    notes: list[str] = []
    array = np.broadcast_to(np.float32(0), (frames, 2))
    blocks = pieces_of(read_source(array).clips, notes)
    assert len(blocks) >= LEAST_CLIPS
    assert "blocks" in notes[0]
    gaps = [after.start - before.stop for before, after in pairwise(blocks)]
    assert min(gaps) >= 20
    assert blocks[-1].stop <= frames
    assert sum(block.frames for block in blocks) > 0.88 * frames


def test_splits_that_are_given_are_kept() -> None:
    splits = ["train"] * 20 + ["validation"] * 3 + ["test"] * 2
    found = prepared(noise(), splits=splits)
    assert found.sequences.splits.tolist() == splits
    named = {f"c{n}": clip for n, clip in enumerate(noise())}
    by_name = dict(zip(named, splits, strict=True))
    assert prepared(named, splits=by_name).sequences.splits.tolist() == splits


def test_few_groups_are_said_to_be_on_both_sides() -> None:
    few = prepared(noise(), groups=["ann", "bob"] * 12 + ["ann"])
    assert any(note.startswith("2 groups in train and in test") for note in few.notes)
    many = prepared(noise(), groups=[str(n % 8) for n in range(25)])
    assert not many.notes
    assert many.facts["groups"] == 8


def test_more_frames_than_are_measured_are_thinned() -> None:
    found = prepared(noise(clips=100), most_frames=6000)
    assert found.facts["frames"] == len(found.sequences.frames) <= 6000
    assert any("of 20,000 frames" in note for note in found.notes)
    assert {*found.sequences.splits} == {*SIDES}


def bad(change: str) -> np.ndarray:
    """Noise with one thing wrong with it."""
    latents = noise()
    if change == "nan":
        latents[3, 17, 2] = np.nan
    if change == "constant":
        latents[:, :, 1] = 5
    if change == "silence":
        latents[::2, 100:120] = 0
    if change == "codebook":
        codes = np.random.default_rng(0).integers(0, 64, (25, 200))
        latents = np.random.default_rng(1).normal(size=(64, 4)).astype("float32")[codes]
    if change == "levels":
        latents[:, :, 3] = latents[:, :, 3].round(1)
    if change == "copies":
        latents[24] = latents[0]
    if change == "float16":
        latents = (latents * 40_000).astype("float16")
    if change == "float64":
        latents = latents.astype("float64")
        latents[2, 5, 0] = 1e300
    return latents


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("nan", "clip 3: frame 17, column 2 is nan, and 1 of 200 frames read are not finite"),
        ("constant", "constant columns 1; leave them out"),
        ("silence", "% of frames repeat another one exactly"),
        ("codebook", "100.0 % of frames repeat another one exactly"),
        ("levels", "columns 3 have fewer than 257 values"),
        ("copies", "clip 0 and clip 24 are the same"),
        ("float16", "an overflow of float16, which ends at 65,504"),
        ("float64", "clip 2: frame 5, column 0 is inf, an overflow of float32"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_latents_that_are_not_fit_are_refused(change: str, words: str) -> None:
    assert words in refused(bad(change))


def test_too_little_is_refused_before_it_is_read() -> None:
    assert "19 clips; must be at least 20" in refused(
        [
            *noise()[:19],
        ]
    )
    assert "4,999 frames; must be at least 5,000" in refused(np.zeros((4999, 2), np.float32))
    assert "no clips" in refused([])
    ragged = [*noise(), np.zeros((200, 5), np.float32)]
    assert "clip 25: 5 dimensions, but clip 0 has 4" in refused(ragged)
    turned = [np.zeros((4, 200 + n), np.float32) for n in range(30)]
    assert "transpose" in refused(turned)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"splits": ["train"] * 24}, "splits: 24, but 25 clips; must have one for each"),
        ({"splits": ["train"] * 24 + ["dev"]}, "splits: 'dev': must be one of train"),
        ({"splits": ["train"] * 24 + ["test"]}, "splits: no clip of validation"),
        ({"groups": ["a"] * 3}, "groups: 3, but 25 clips"),
        ({"groups": {"0": "a"}}, "groups: '1' is not named (24 of 25 clips)"),
        (
            {"groups": ["a"] * 25, "splits": ["train"] * 20 + ["validation"] * 3 + ["test"] * 2},
            "groups: 'a' is in train and in validation; must be in one of them",
        ),
    ],
)
def test_groups_and_splits_that_do_not_fit_are_refused(arguments: dict, words: str) -> None:
    assert words in refused(noise(), **arguments)


def test_a_coordinate_that_others_determine_is_left_out() -> None:
    """It would be rounding errors that are whitened and predicted."""
    latents = noise()
    latents = np.concatenate([latents, latents[:, :, :1] + latents[:, :, 1:2]], 2)
    found = prepared(latents)
    assert found.facts["components"] == 4
    assert "1 component of no variance beyond rounding: left out." in found.notes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-10, 10))
def test_noise_of_any_scale_is_fit(dtype: str, scale: float, shift: float) -> None:
    """Real latents are not refused as copies or levels, in half precision either."""
    found = prepared((noise() * scale + shift * scale).astype(dtype))
    assert found.facts["components"] == 4
