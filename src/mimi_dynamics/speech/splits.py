"""Decide which recordings are for training and which are held out.

By itself, a recording has a split that depends only on its voice and its prompt: not on a seed, on
other recordings or on the order of files. So two readings of the same sentence by one voice fall
into the same split.

Recordings of one performance, such as one prompt recorded once and used twice, are never in two
splits. They go to train if any of them belongs there, else to validation, else to test. So what is
in test would be there by itself, too: a codec that was trained on what belongs to train by itself,
as the committed one was, has not heard it. A codec that is trained anew may hear a clip that a copy
has pulled into train, and that is in test in a corpus without that copy.
"""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mimi_dynamics.pipeline.conventions import TEST_VOICE
from mimi_dynamics.pipeline.params import SplitParams

DROPPED = ""  # The split of a recording that repeats one of a held-out voice.
STRONGEST_FIRST = ("train", "validation", "test")


def assign_split(voice: str, prompt: str, shares: SplitParams, test_voices: list[str]) -> str:
    """Give the split that a recording has by itself, one of `SPLITS`.

    Args:
        voice: Who speaks. All recordings of the voices in `test_voices` are held out.
        prompt: The text that is spoken, or an id of it. Case and white space do not matter.
        shares: Expected share of each split among the recordings of all other voices.
        test_voices: Voices of the split `test_voice`.
    """
    if voice in test_voices:
        return TEST_VOICE
    position = _position(voice, prompt)
    if position < shares.test:
        return "test"
    if position < shares.test + shares.validation:
        return "validation"
    return "train"


def _position(voice: str, prompt: str) -> float:
    """Give a fixed number in [0, 1) for each voice and prompt, uniformly spread over prompts."""
    return int.from_bytes(sha256(_reading(voice, prompt).encode()).digest()[:6], "big") / 2**48


def _reading(voice: str, prompt: str) -> str:
    return f"{voice}\n{' '.join(prompt.split()).casefold()}"


def assign_splits(
    readings: Sequence[tuple[str, str]],
    groups: np.ndarray,
    shares: SplitParams,
    test_voices: list[str],
) -> list[str]:
    """Give the split of every recording, so that no performance is in two.

    Args:
        readings: Voice and prompt of each recording.
        groups: (recordings,) int64, equal for recordings of the same performance.
        shares: Expected share of each split among the recordings of all other voices.
        test_voices: Voices of the split `test_voice`.

    Returns:
        One of `SPLITS` for each recording, or `DROPPED` if it is not of a test voice but its
        performance is also recorded as one of a test voice.
    """
    splits = [assign_split(*reading, shares, test_voices) for reading in readings]
    held_out = np.array([split == TEST_VOICE for split in splits], bool)
    dropped = ~held_out & np.isin(groups, groups[held_out])
    kept = np.flatnonzero(~held_out & ~dropped)
    linked = _linked([_reading(*readings[index]) for index in kept], groups[kept])
    rank = np.full(len(kept), len(STRONGEST_FIRST))
    np.minimum.at(rank, linked, [STRONGEST_FIRST.index(splits[index]) for index in kept])
    for index in np.flatnonzero(dropped):
        splits[index] = DROPPED
    for index, of in zip(kept, linked, strict=True):
        splits[index] = STRONGEST_FIRST[rank[of]]
    return splits


def _linked(readings: list[str], groups: np.ndarray) -> np.ndarray:
    """Number the sets of recordings that readings or performances join, also by way of others."""
    count = len(readings)
    _, by_reading = np.unique(np.array(readings, dtype=object), return_inverse=True)
    _, by_group = np.unique(groups, return_inverse=True)
    rows, ones = np.arange(count), np.ones(2 * count)
    # A graph of recordings, then readings, then groups.
    ends = np.concatenate([count + by_reading, 2 * count + by_group])
    size = 3 * count
    graph = coo_array((ones, (np.tile(rows, 2), ends)), shape=(size, size))
    return connected_components(graph, directed=False)[1][:count] if count else rows
