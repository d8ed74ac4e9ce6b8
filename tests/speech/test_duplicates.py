"""Copies of a recording are found by their sound, and other performances are not."""

import numpy as np
import pytest

from copies import KINDS
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.speech import duplicates
from mimi_dynamics.speech.duplicates import MOST_COPIES, candidates, group_performances
from mimi_dynamics.speech.fingerprints import HOP, Fingerprint, fingerprint
from tests.harness.audio_files import tone
from tests.harness.speechlike import RATE, speechlike

CLIPS = 12


@pytest.fixture(scope="module")
def prints() -> list[Fingerprint]:
    return [fingerprint(speechlike(3.0, seed, 100.0 + 15 * (seed % 8))) for seed in range(CLIPS)]


def test_different_performances_stay_apart(prints: list[Fingerprint]) -> None:
    assert group_performances(prints).tolist() == list(range(CLIPS))


@pytest.mark.parametrize("at_once", [3, 1000])
def test_group_is_named_by_its_smallest_index(
    prints: list[Fingerprint], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pairs a process is sent."""
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    monkeypatch.setattr(duplicates, "PAIRS_AT_ONCE", at_once)
    groups = group_performances([*prints, prints[3], prints[5], prints[3]])
    assert groups.tolist() == [*range(CLIPS), 3, 5, 3]


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros(1), np.zeros(RATE), np.full(RATE, 0.3)])
def test_what_is_no_speech_is_alone(prints: list[Fingerprint], sound: np.ndarray) -> None:
    groups = group_performances([*prints[:3], fingerprint(sound), fingerprint(sound)])
    assert groups.tolist() == [0, 1, 2, 3, 4]


def test_no_recordings() -> None:
    assert group_performances([]).tolist() == []


def test_candidates_are_bounded(prints: list[Fingerprint]) -> None:
    assert len(candidates(prints * 3)) <= 6 * 3 * CLIPS


AT_ANOTHER_SPEED = "speed ± 10 %"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != AT_ANOTHER_SPEED])
def test_copies_are_found(prints: list[Fingerprint], kind: str) -> None:
    sounds = [speechlike(3.0, seed, 100.0 + 15 * (seed % 8)) for seed in range(3)]
    copies = [KINDS[kind](sound, np.random.default_rng(9)) for sound in sounds]
    groups = group_performances([*prints, *map(fingerprint, copies)])
    assert groups.tolist() == [*range(CLIPS), 0, 1, 2]


def only_copies_are_grouped(prints: list[Fingerprint], copies: list[np.ndarray]) -> np.ndarray:
    """Which copies are found; check that nothing is taken for another performance."""
    groups = group_performances([*prints, *map(fingerprint, copies)])
    assert groups[:CLIPS].tolist() == list(range(CLIPS))
    found: np.ndarray = groups[CLIPS:] == np.arange(CLIPS)
    assert (groups[CLIPS:][~found] == np.flatnonzero(~found) + CLIPS).all()
    return found


def test_most_copies_at_another_speed_are_found(prints: list[Fingerprint]) -> None:
    """Of three seconds; of real speech about nine in ten (docs/explanation/duplicates.md)."""
    sounds = [speechlike(3.0, seed, 100.0 + 15 * (seed % 8)) for seed in range(CLIPS)]
    changed = KINDS[AT_ANOTHER_SPEED]
    copies = [changed(sound, np.random.default_rng(9)) for sound in sounds]
    assert only_copies_are_grouped(prints, copies).sum() >= 0.7 * CLIPS


def test_short_copies_with_a_pause_in_a_word_are_found() -> None:
    """Of 1.4 s, where each second has the pause in it: most are, and none is taken for another."""
    sounds = [speechlike(1.4, seed, 100.0 + 15 * (seed % 8)) for seed in range(CLIPS)]
    silence = np.zeros(round(0.47 * RATE), np.float32)
    copies = [np.concatenate([of[: RATE * 2 // 3], silence, of[RATE * 2 // 3 :]]) for of in sounds]
    found = only_copies_are_grouped(list(map(fingerprint, sounds)), copies)
    assert found.sum() >= 0.75 * CLIPS


def test_silence_around_a_recording_does_not_change_what_is_loud_in_it() -> None:
    sound = speechlike(1.0, 4)
    alone, after = fingerprint(sound), fingerprint(np.pad(sound, (2 * RATE, RATE)))
    inside = slice(2, len(alone.active) - 2)
    shifted = after.spectrum[2 * RATE // HOP :][inside].astype(int)
    assert np.abs(shifted - alone.spectrum[inside]).max() <= 1
    assert (after.active[2 * RATE // HOP :][inside] == alone.active[inside]).all()


def test_groups_do_not_depend_on_the_order(prints: list[Fingerprint]) -> None:
    corpus = [*prints, prints[3], fingerprint(0.5 * speechlike(3.0, 5, 175.0))]
    order = np.random.default_rng(0).permutation(len(corpus))
    plain = group_performances(corpus)
    mixed = group_performances([corpus[index] for index in order])
    together = plain[order][:, None] == plain[order]
    assert ((mixed[:, None] == mixed) == together).all()
    assert (group_performances(corpus) == plain).all()


def test_samples_of_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="one axis"):
        fingerprint(np.zeros((2, RATE), np.float32))


def test_sixteen_bits_and_floats_are_the_same() -> None:
    sound = speechlike(2.0, 1)
    pcm = np.rint(sound * 2**15).astype(np.int16)
    assert fingerprint(pcm).digest == fingerprint(pcm / np.float32(2**15)).digest


def test_tones_are_alike_without_being_copies() -> None:
    tones = [tone(1.0, 200 + 20 * step) for step in range(20)]
    assert group_performances([fingerprint(sound) for sound in tones]).tolist() == list(range(20))


@pytest.mark.parametrize(("copies", "together"), [(8, True), (MOST_COPIES + 1, False)])
def test_what_many_recordings_hold_is_a_kind_of_sound(copies: int, together: bool) -> None:
    """Such as a jingle: it does not take all that hold it into one split."""
    generator = np.random.default_rng(0)
    once = speechlike(2.5, seed=5)
    prints = [
        fingerprint(once + generator.normal(0, 1e-4, len(once)).astype(np.float32))
        for _ in range(copies)
    ]
    groups = group_performances(prints)
    assert groups.tolist() == ([0] * copies if together else list(range(copies)))
