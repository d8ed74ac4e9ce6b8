"""Splits: fixed for ever, one per prompt, and of the sizes asked for."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mimi_dynamics.pipeline.params import SplitParams
from mimi_dynamics.speech.splits import DROPPED, assign_split, assign_splits

SHARES = SplitParams(train=0.8, validation=0.1, test=0.1)


def test_splits_are_the_ones_the_committed_codec_was_trained_on() -> None:
    known = {
        "en/all-circuits-busy-now": "test",
        "en/digits/day-5": "test",
        "en/auth-thankyou": "validation",
        "en/letters/c": "validation",
        "en/activated": "train",
        "en/vm-goodbye": "train",
    }
    assert {prompt: assign_split("allison", prompt, SHARES, []) for prompt in known} == known


def test_shares_come_out_as_asked_for() -> None:
    counts = Counter(assign_split("anna", f"prompt {i}", SHARES, []) for i in range(20_000))
    assert abs(counts["test"] / 20_000 - 0.1) < 0.01
    assert abs(counts["validation"] / 20_000 - 0.1) < 0.01
    assert set(counts) == {"train", "validation", "test"}


@given(voice=st.text(), words=st.lists(st.text("abcXYZ", min_size=1), min_size=1))
def test_case_and_white_space_do_not_move_a_sentence(voice: str, words: list[str]) -> None:
    once = assign_split(voice, " ".join(words), SHARES, [])
    again = assign_split(voice, f"  {'   '.join(words).upper()}\n", SHARES, [])
    assert once == again


@given(prompt=st.text())
def test_a_held_out_voice_is_never_in_another_split(prompt: str) -> None:
    assert assign_split("june", prompt, SHARES, ["june"]) == "test_voice"
    assert assign_split("anna", prompt, SHARES, ["june"]) != "test_voice"


@given(voice=st.text(), prompt=st.text())
def test_a_larger_test_share_only_adds_to_the_test_split(voice: str, prompt: str) -> None:
    larger = SplitParams(train=0.6, validation=0.1, test=0.3)
    if assign_split(voice, prompt, SHARES, []) == "test":
        assert assign_split(voice, prompt, larger, []) == "test"


READINGS = st.lists(
    st.tuples(
        st.sampled_from(["anna", "bert", "june"]),
        st.integers(0, 40).map("prompt {}".format),
        st.integers(0, 12),
    ),
    max_size=60,
)


@given(drawn=READINGS)
def test_no_performance_and_no_reading_is_in_two_splits(drawn: list[tuple[str, str, int]]) -> None:
    """And what is in test is there by itself: a codec trained on train has not heard it."""
    readings, groups = [(v, p) for v, p, _ in drawn], np.array([g for *_, g in drawn], int)
    splits = assign_splits(readings, groups, SHARES, ["june"])
    own = [assign_split(*reading, SHARES, ["june"]) for reading in readings]
    for names in (groups.tolist(), readings):
        found: dict[object, set[str]] = {}
        for name, split in zip(names, splits, strict=True):
            found.setdefault(name, set()).add(split)
        assert all(len(of - {DROPPED}) <= 1 for of in found.values())
    for split, before, group in zip(splits, own, groups, strict=True):
        if split == "test":
            assert before == "test"
        if split == "validation":
            assert before in ("test", "validation")
        if split == DROPPED:
            assert group in groups[[other == "test_voice" for other in own]]
        assert (split == "test_voice") == (before == "test_voice")


def test_recordings_that_share_nothing_keep_their_own_split() -> None:
    readings = [("anna", f"prompt {number}") for number in range(300)]
    splits = assign_splits(readings, np.arange(300), SHARES, [])
    assert splits == [assign_split(*reading, SHARES, []) for reading in readings]


def test_nothing_to_split() -> None:
    assert assign_splits([], np.zeros(0, int), SHARES, []) == []
