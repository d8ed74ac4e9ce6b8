"""Discrete keys of frames, few and stable, as the addresses of a memory."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from mimi_dynamics.latents.sequences import Sequences

PARTS = 2  # number of parts of a product code


@dataclass(frozen=True)
class Keys:
    """A key for every frame.

    Attributes:
        values: (frames,) int64, each below `count`.
        count: number of different keys.
        assign: maps (frames, dim) frames to (frames,) keys; None for keys that cannot be computed
            from frames, such as the codes of the codec.
    """

    values: np.ndarray
    count: int
    assign: "Cells | None" = None


def make_keys(
    kind: str, data: Sequences, codebook: np.ndarray | None, cells: int, least_count: int, seed: int
) -> Keys:
    """Make keys that are learned on train, with rare ones merged into their nearest neighbours.

    Gated frames get keys too, but nothing is learned from them.

    Merging is the counterpart of Engram's tokenizer compression: keys that mean nearly the same
    share their rows.

    Args:
        kind: `kmeans` of whole frames, `product` of one k-means for each half of the coordinates,
            or `codebook`, the first codebook of the codec.
        data: the clips.
        codebook: (frames,) codes of the codec; None if keys are to be no codes.
        cells: number of cells of k-means, or of combinations of cells in a product code.
        least_count: number of train frames below which a key is merged.
        seed: seed of k-means.

    Raises:
        ValueError: keys are to be codes, and there are none.
    """
    frames, train = data.frames.numpy(), in_split(data, "train") & ~data.gated.numpy()
    if kind == "codebook":
        if codebook is None:
            raise ValueError("there are no codes to be keys")
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
    """A map from (frames, dim) frames to keys.

    Attributes:
        fitted: k-means of each part.
        parts: indices of the coordinates of each part.
        merged: the key of every combination of cells.
    """

    fitted: list[KMeans]
    parts: list[np.ndarray]
    merged: np.ndarray

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Give the (frames,) int64 keys of (frames, dim) frames."""
        with threadpool_limits(1):
            cells = [
                kmeans.predict(np.ascontiguousarray(frames[:, part]))
                for kmeans, part in zip(self.fitted, self.parts, strict=True)
            ]
        sizes = [kmeans.n_clusters for kmeans in self.fitted]
        return self.merged[np.ravel_multi_index(cells, sizes)]


def fit_kmeans(frames: np.ndarray, cells: int, seed: int) -> KMeans:
    """Fit k-means to (frames, dim) frames."""
    with threadpool_limits(1):  # one thread gives the same sums on any number of cores
        return KMeans(min(cells, len(frames)), n_init=1, random_state=seed).fit(frames)


def merge_rare(
    raw: np.ndarray,
    frames: np.ndarray,
    train: np.ndarray,
    least_count: int,
    codes: int | None = None,
) -> np.ndarray:
    """Give the key of every raw code: its own if it is common, otherwise that of the nearest one.

    Args:
        raw: (frames,) raw codes.
        frames: (frames, dim) what codes stand for: the position of a code is the mean of its train
            frames.
        train: (frames,) bool, whether a frame is one of train that counts.
        least_count: number of train frames that make a code common; the most common one always is.
        codes: number of codes; None to take it from `raw`.

    Returns:
        (codes,) the key of every code.
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
    """Encode the last `order` keys at every frame as one number.

    Args:
        keys: (frames,) keys.
        lengths: (clips,) number of frames of each clip.
        count: number of different keys; it also stands for a key from before the clip.
        order: number of keys in an n-gram.

    Returns:
        (frames,) int64.
    """
    within = np.arange(len(keys)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    grams = keys.astype(np.int64)
    for back in range(1, order):
        earlier = np.concatenate([np.full(back, count), keys[:-back]])
        grams = grams * (count + 1) + np.where(within >= back, earlier, count)
    return grams


def ngram_counts(keys: Keys, data: Sequences, order: int) -> np.ndarray:
    """Count for each of the (frames,) n-grams that end at a frame how often it occurs in train.

    Args:
        keys: the keys of all frames.
        data: the clips.
        order: number of keys in an n-gram.
    """
    grams = suffix_ngrams(keys.values, data.lengths, keys.count, order)
    known, counts = np.unique(grams[in_split(data, "train")], return_counts=True)
    place = np.searchsorted(known, grams).clip(max=len(known) - 1)
    return np.where(known[place] == grams, counts[place], 0)


def in_split(data: Sequences, split: str) -> np.ndarray:
    """Give (frames,) bool: whether each frame is in the split."""
    return (data.splits == split)[data.clip_of_frame]
