"""Groups of recordings that hold the same performance, found by their sound.

An index of codes gives a bounded number of candidates for each recording, and only these are laid
over each other. So time and memory grow with the hours, not with their square.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.speech.alignment import same_performance
from mimi_dynamics.speech.fingerprints import KEY_BITS, PATCH, WEAK, Fingerprint

QUERY_STEP = 3  # frames between the codes that are looked up
LOOKUPS_AT_ONCE = 1 << 16
MOST_ALIKE = 32  # codes that a code is compared with
MOST_BITS = 12  # of 48 may differ; of two codes by chance, 3 in 10,000 differ by no more
LAG_WIDTH = 16  # frames over which offsets count as one, as speed makes them drift
FEWEST_VOTES = 2
LEAST_SPEECH = 15  # frames (0.3 s): a click is no performance
MOST_CANDIDATES = 6  # for each recording
# Tones, hums and beeps are alike without being copies: 1.0 for a tone; of prompts and sentences
# 99 in 100 have 2.9 and more, and half of them 4.5 and more.
LEAST_VARIETY = 2.9
MOST_COPIES = 32  # More recordings that sound the same are a kind of sound, such as a jingle.
KEY = np.uint64((1 << KEY_BITS) - 1)
PAIRS_AT_ONCE = 256  # 1 s of work; of prompts up to 6 MB are sent for it
Candidate = tuple[int, int, int, int]  # two recordings, and a frame of each


def group_performances(fingerprints: Sequence[Fingerprint]) -> np.ndarray:
    """Group recordings that hold the same performance, by way of others too.

    The groups depend neither on the order of the recordings nor on a seed. Beside the fingerprints
    (14 MB an hour), an index of 4 MB an hour is held.

    Args:
        fingerprints: one for each recording.

    Returns:
        int64 [recordings], the smallest index among those of the same group. A recording like no
        other, without speech, or like more than `MOST_COPIES` others, gives its own index.
    """
    count = len(fingerprints)
    order = sorted(range(count), key=lambda index: fingerprints[index].digest)
    pairs = same_pairs([fingerprints[index] for index in order])
    links = np.array([(order[a], order[b]) for a, b in pairs], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1] if count else np.zeros(0, np.int64)
    smallest = np.full(count, count)
    np.minimum.at(smallest, labels, np.arange(count))
    of_a_kind = np.bincount(labels, minlength=count)[labels] > MOST_COPIES
    return np.where(of_a_kind, np.arange(count), smallest[labels])


def same_pairs(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Pairs that hold the same performance."""
    # In their order neighbours share a recording, so that a process is sent few for its pairs.
    found = sorted(candidates(prints))
    parts = [found[start : start + PAIRS_AT_ONCE] for start in range(0, len(found), PAIRS_AT_ONCE)]
    jobs = [
        partial(_alike, {i: prints[i] for pair in part for i in pair[:2]}, part) for part in parts
    ]
    told = [same for of_part in run_parallel(jobs, "find copies") for same in of_part]
    return [(a, b) for (a, b, *_), same in zip(found, told, strict=True) if same]


def _alike(prints: Mapping[int, Fingerprint], pairs: Sequence[Candidate]) -> list[bool]:
    told = []
    for a, b, at_a, at_b in pairs:
        at = {a: at_a, b: at_b}
        shorter, longer = sorted((a, b), key=lambda index: len(prints[index].active))
        told.append(same_performance(prints[shorter], prints[longer], (at[shorter], at[longer])))
    return told


def candidates(prints: Sequence[Fingerprint]) -> list[Candidate]:
    """Pairs of recordings whose codes agree, those that agree most often first.

    Returns:
        Rows of two recordings and a frame of each, at most `MOST_CANDIDATES` per recording that
        was looked up.
    """
    rows = list(_votes(prints))
    if not rows:
        return []
    votes, a, b, at_a, at_b = np.concatenate(rows).T
    order = np.lexsort((at_b, at_a, b, a, -votes))
    table = np.stack([a, b, at_a, at_b], axis=1)[order]
    pairs = np.sort(table[:, :2], axis=1)
    keep = np.unique(
        np.stack([pairs[:, 0], pairs[:, 1], (table[:, 2] - table[:, 3]) // LAG_WIDTH], axis=1),
        axis=0,
        return_index=True,
    )[1]
    return [(a, b, at_a, at_b) for a, b, at_a, at_b in table[np.sort(keep)].tolist()]


def _votes(prints: Sequence[Fingerprint]) -> Iterator[np.ndarray]:
    """The best candidates of one block of recordings after the other.

    Yields:
        int64 [candidates, 5]: votes, the recording, the candidate, and a frame of each.
    """
    index = _Index(prints)
    block: list[int] = []
    lookups = 0
    for clip, print_ in enumerate(prints):
        block.append(clip)
        lookups += len(print_.active) // QUERY_STEP
        if lookups * (1 + WEAK) >= LOOKUPS_AT_ONCE or clip == len(prints) - 1:
            yield _best_of(index.find(block))
            block, lookups = [], 0


class _Index:
    """All codes of a corpus, sorted."""

    def __init__(self, prints: Sequence[Fingerprint]) -> None:
        frames = [_telling(print_) for print_ in prints]
        self.prints, self.frames_of = prints, frames
        codes = [print_.codes[frame] for print_, frame in zip(prints, frames, strict=True)]
        codes_all = np.concatenate([np.zeros(0, np.uint64), *codes])
        clips = np.repeat(np.arange(len(prints), dtype=np.int32), [len(code) for code in codes])
        frames_all = np.concatenate([np.zeros(0, np.int32), *frames]).astype(np.int32)
        rotated = _key_first(codes_all)
        order = np.argsort(rotated, kind="stable")
        self.codes, self.clips, self.frames = rotated[order], clips[order], frames_all[order]

    def find(self, block: list[int]) -> np.ndarray:
        """Look up a block of recordings.

        Returns:
            int64 [hits, 4]: the recording, the one found, and a frame of each.
        """
        codes, clips, frames = [], [], []
        for clip in block:
            frame = self.frames_of[clip][::QUERY_STEP]
            print_ = self.prints[clip]
            own = print_.codes[frame]
            flips = np.uint64(1) << print_.weak[frame].astype(np.uint64)
            codes.append(np.concatenate([own[:, None], own[:, None] ^ flips], axis=1).ravel())
            frames.append(np.repeat(frame, 1 + WEAK))
            clips.append(np.full(len(frame) * (1 + WEAK), clip))
        query = _key_first(np.concatenate(codes))
        return self._neighbours(query, np.concatenate(clips), np.concatenate(frames))

    def _neighbours(self, query: np.ndarray, clips: np.ndarray, frames: np.ndarray) -> np.ndarray:
        rest = np.uint64(64 - KEY_BITS)
        low = (query >> rest) << rest
        begin = np.searchsorted(self.codes, low)
        end = np.searchsorted(self.codes, low | ((np.uint64(1) << rest) - np.uint64(1)), "right")
        place = np.searchsorted(self.codes, query)
        begin = np.maximum(begin, place - MOST_ALIKE // 2)
        sizes = np.maximum(np.minimum(end, begin + MOST_ALIKE) - begin, 0)
        source = np.repeat(np.arange(len(query)), sizes)
        found = np.arange(len(source)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        found += np.repeat(begin, sizes)
        alike = self.clips[found] != clips[source]
        differing = np.bitwise_count(self.codes[found] ^ query[source])
        alike &= differing <= MOST_BITS
        source, found = source[alike], found[alike]
        return np.stack([clips[source], self.clips[found], frames[source], self.frames[found]], 1)


def _telling(print_: Fingerprint) -> np.ndarray:
    """Frames whose code tells something: someone speaks in a third of the patch."""
    if print_.active.sum() < LEAST_SPEECH or variety(print_) < LEAST_VARIETY:
        return np.zeros(0, np.int64)
    speech = np.convolve(print_.active, np.ones(PATCH), mode="same")[: len(print_.active)]
    return np.flatnonzero(print_.active & (speech >= PATCH / 3))


def variety(print_: Fingerprint) -> float:
    """Give the effective number of ways in which a spectrum changes over the recording.

    It is (Σ λ)² / Σ λ² of the eigenvalues of the covariance of the bands where someone speaks.
    """
    spectrum = print_.spectrum[print_.active].astype(np.float64)
    values = np.linalg.eigvalsh(np.cov(spectrum.T, bias=True))
    total = values.sum()
    return float(total**2 / np.square(values).sum()) if total > 0 else 0.0


def _key_first(codes: np.ndarray) -> np.ndarray:
    """Codes with the key in their highest bits, so that sorting brings equal keys together."""
    return (codes << np.uint64(64 - KEY_BITS)) | (codes >> np.uint64(KEY_BITS))


def _best_of(hits: np.ndarray) -> np.ndarray:
    """For each recording of a block, the candidates with the most votes at one offset."""
    columns: np.ndarray = hits.astype(np.int64).T
    clip, other, frame, at = columns
    lag = (frame - at) // LAG_WIDTH
    order = np.lexsort((frame, lag, other, clip))
    rows = np.stack([clip, other, lag], axis=1)[order]
    first = np.flatnonzero(np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)][: len(rows)])
    votes = np.diff(np.r_[first, len(rows)])
    middle = order[first + votes // 2]
    table = np.stack([votes, clip[middle], other[middle], frame[middle], at[middle]], axis=1)
    table = table[votes >= FEWEST_VOTES]
    table = table[np.lexsort((table[:, 2], -table[:, 0], table[:, 1]))]
    starts = np.searchsorted(table[:, 1], table[:, 1])
    return table[np.arange(len(table)) - starts < MOST_CANDIDATES]
