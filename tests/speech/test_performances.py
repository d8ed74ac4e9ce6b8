"""Copies of one performance: which clip stays, and in which split."""

from pathlib import Path

import numpy as np
import pytest

from mimi_dynamics.speech.conversion import Clip
from mimi_dynamics.speech.corpora import Recording
from mimi_dynamics.speech.fingerprints import fingerprint
from mimi_dynamics.speech.ingestion import split_performances
from tests.harness.audio_files import ingest_params, tone
from tests.harness.speechlike import speechlike


def clip(name: str, sound: np.ndarray) -> Clip:
    """A clip of the voice before the slash."""
    voice = name.partition("/")[0]
    recording = Recording(name, name, "folder", voice, "", name, Path(name))
    digest = str(hash(sound.tobytes()))
    return Clip(recording, "", pcm_sha256=digest, fingerprint=fingerprint(sound))


def copy(sound: np.ndarray) -> np.ndarray:
    """The same performance with a little noise."""
    return sound + np.random.default_rng(0).normal(0, 1e-4, len(sound)).astype(np.float32)


SOUND, OTHER = speechlike(2.5, seed=1), speechlike(2.5, seed=2)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("made", [copy, np.copy], ids=["alike", "to the sample"])
def test_what_a_test_voice_says_is_heard_nowhere_else(keep: bool, made: object) -> None:
    """Whichever comes first by name; the clip of the test voice stays."""
    clips = [clip("a/1", SOUND), clip("a/2", OTHER), clip("z/1", made(SOUND))]
    found = split_performances(clips, ingest_params(test_voices=["z"], keep_copies=keep))
    assert [one.reason for one in found] == ["near_duplicate", "", ""]
    assert (found[2].split, found[2].performance) == ("test_voice", "z/1")
    assert found[1].performance == "a/2"


@pytest.mark.parametrize("keep", [True, False])
def test_copies_share_a_split_and_the_name_of_the_first(keep: bool) -> None:
    clips = [clip("a/1", SOUND), clip("a/2", OTHER), clip("b/1", copy(SOUND))]
    found = split_performances(clips, ingest_params(keep_copies=keep))
    assert found[0].performance == "a/1"
    if keep:
        assert (found[2].split, found[2].performance) == (found[0].split, "a/1")
    else:
        assert found[2].reason == "near_duplicate"


def test_tones_are_copies_only_to_the_sample() -> None:
    clips = [clip("a/1", tone(1.0, 300)), clip("b/1", tone(1.0, 300)), clip("b/2", tone(1.0, 350))]
    found = split_performances(clips, ingest_params())
    assert [one.performance for one in found] == ["a/1", "a/1", "b/2"]


def test_what_was_rejected_stays_so() -> None:
    rejected = Clip(clip("a/1", SOUND).recording, "silent")
    found = split_performances([rejected, clip("a/2", SOUND)], ingest_params())
    assert [one.reason for one in found] == ["silent", ""]
