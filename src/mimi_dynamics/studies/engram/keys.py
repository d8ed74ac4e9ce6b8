"""Discrete keys of frames, stable and few: the addresses of a memory."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from mimi_dynamics.latents.sequences import Sequences

PARTS = 2  # of a product code


@dataclass(frozen=True)
class Keys:
    """A key for every frame.

    Attributes:
        values: (frames,) int64, each below `count`.
        count: how many keys there are.
        assign: from (frames, dim) frames to their (frames,) keys; None for keys that are read from
            elsewhere, as those of the codec.
    """

    values: np.ndarray
    count: int
    assign: "Cells | None" = None


def make_keys(
    kind: str, data: Sequences, codebook: np.ndarray, cells: int, least_count: int, seed: int
) -> Keys:
    """Keys learned on train, rare ones merged into their nearest neighbours.

    Merging is the counterpart of Engram's tokenizer compression: what is nearly the same shares
    its rows.

    Args:
        kind: `kmeans` of frames, `product` of k-means of two halves of their coordinates, or
            `codebook`, the codec's first.
        data: the clips.
        codebook: (frames,) codes of the codec.
        cells: of k-means; of a product code as many in all.
        least_count: train frames that a key must have not to be merged.
        seed: of k-means.
    """
    frames, train = data.frames.numpy(), in_split(data, "train")
    if kind == "codebook":
        raw = codebook.astype(np.int64)
        values = merge_rare(raw, frames, train, least_count)[raw]
        return Keys(values, int(values.max()) + 1)
    parts = 1 if kind == "kmeans" else PARTS
    each = max(2, round(cells ** (1 / parts)))
    halves = np.array_split(np.arange(data.dim), parts)
    fitted = [fit_kmeans(frames[train][:, half], each, seed) for half in halves]
    cells_of = Cells(fitted, halves, np.arange(each**parts))
    raw = cells_of(frames)
    merged = merge_rare(raw, frames, train, least_count, each**parts)
    values = merged[raw]
    return Keys(values, int(merged.max()) + 1, Cells(fitted, halves, merged))


@dataclass(frozen=True)
class Cells:
    """From (frames, dim) frames to keys.

    Attributes:
        fitted: k-means of each part.
        parts: coordinates of each.
        merged: key of every combination of cells.
    """

    fitted: list[KMeans]
    parts: list[np.ndarray]
    merged: np.ndarray

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """(frames,) int64."""
        with threadpool_limits(1):
            cells = [
                kmeans.predict(np.ascontiguousarray(frames[:, part]))
                for kmeans, part in zip(self.fitted, self.parts, strict=True)
            ]
        sizes = [kmeans.n_clusters for kmeans in self.fitted]
        return self.merged[np.ravel_multi_index(cells, sizes)]


def fit_kmeans(frames: np.ndarray, cells: int, seed: int) -> KMeans:
    """Cells of (frames, dim)."""
    with threadpool_limits(1):  # the same sums whatever the number of cores
        return KMeans(min(cells, len(frames)), n_init=1, random_state=seed).fit(frames)


def merge_rare(
    raw: np.ndarray,
    frames: np.ndarray,
    train: np.ndarray,
    least_count: int,
    codes: int | None = None,
) -> np.ndarray:
    """(codes,) the key of every raw code: its own if it is common, else that of the nearest.

    Args:
        raw: (frames,) codes.
        frames: (frames, dim) what codes stand for: a code's place is the mean of its train frames.
        train: (frames,) bool.
        least_count: train frames of a common code; the most common one always is.
        codes: how many there are; None for as many as `raw` shows.
    """
    codes = codes or int(raw.max()) + 1
    counts = np.bincount(raw[train], minlength=codes)
    sums = np.stack([np.bincount(raw[train], of, codes) for of in frames[train].T.astype(float)], 1)
    places = sums / np.maximum(counts, 1)[:, None]
    common = np.flatnonzero(counts >= min(least_count, counts.max()))
    distances = np.square(places[:, None] - places[common]).sum(-1)
    nearest = distances.argmin(1)
    nearest[common] = np.arange(len(common))
    return nearest


def suffix_ngrams(keys: np.ndarray, lengths: np.ndarray, count: int, order: int) -> np.ndarray:
    """(frames,) one number for the last `order` keys, those before the clip counting as `count`."""
    within = np.arange(len(keys)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    grams = keys.astype(np.int64)
    for back in range(1, order):
        earlier = np.concatenate([np.full(back, count), keys[:-back]])
        grams = grams * (count + 1) + np.where(within >= back, earlier, count)
    return grams


def ngram_counts(keys: Keys, data: Sequences, order: int) -> np.ndarray:
    """(frames,) how often the n-gram that ends at each frame occurs in train."""
    grams = suffix_ngrams(keys.values, data.lengths, keys.count, order)
    known, counts = np.unique(grams[in_split(data, "train")], return_counts=True)
    place = np.searchsorted(known, grams).clip(max=len(known) - 1)
    return np.where(known[place] == grams, counts[place], 0)


def in_split(data: Sequences, split: str) -> np.ndarray:
    """(frames,) bool."""
    return (data.splits == split)[data.clip_of_frame]
