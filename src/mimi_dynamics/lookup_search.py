"""Exact search: the train keys most like each query, by distance or by equality."""

from collections.abc import Callable

import torch
from torch import Tensor

QUERIES_AT_ONCE = 32  # rows of distances to 50,000 frames: 6 MB, which the cache holds in part
BLOCK = 8


def nearest(queries: Tensor, keys: Tensor, count: int) -> Tensor:
    """(queries, count) int64, the keys at the smallest Euclidean distance, nearest first; exact.

    Args:
        queries: (queries, key_dim) float32.
        keys: (keys, key_dim) float32, at least `count` of them.
        count: how many.
    """
    squares = keys.square().sum(1)

    def fill(part: Tensor, distances: Tensor) -> None:
        # |q|² is the same for all keys and does not change their order.
        torch.addmm(squares, part, keys.T, alpha=-2, out=distances)

    return _search(queries, len(keys), count, fill)


def matching(queries: Tensor, keys: Tensor, count: int, seed: int) -> Tensor:
    """(queries, count) int64, the keys that are equal in most leading columns, those first.

    Equal in all columns goes before equal in all but the last, and so on to any key at all
    (back-off). Equally good keys come in a random order, the same one for all queries.

    Args:
        queries: (queries, columns) int64.
        keys: (keys, columns) int64, at least `count` of them.
        count: how many.
        seed: of that order.
    """
    order = torch.rand(len(keys), generator=torch.Generator().manual_seed(seed))
    columns = keys.T.int().contiguous()

    def fill(part: Tensor, distances: Tensor) -> None:
        distances.copy_(order.expand_as(distances))
        equal = torch.ones_like(distances, dtype=torch.bool)
        for query, key in zip(part.T, columns, strict=True):
            equal &= query[:, None] == key
            distances -= equal.float()

    return _search(queries.int(), len(keys), count, fill)


def _search(
    queries: Tensor, entries: int, count: int, fill: Callable[[Tensor, Tensor], None]
) -> Tensor:
    """Smallest distances of each query, row by row into one buffer that is used again."""
    blocks = -(-entries // BLOCK)
    buffer = torch.full((QUERIES_AT_ONCE, blocks * BLOCK), torch.inf)
    found = torch.empty(len(queries), count, dtype=torch.int64)
    for part, into in zip(
        queries.split(QUERIES_AT_ONCE), found.split(QUERIES_AT_ONCE), strict=True
    ):
        distances = buffer[: len(part)]
        fill(part, distances[:, :entries])
        into.copy_(_smallest(distances, count))
    return found


def _smallest(distances: Tensor, count: int) -> Tensor:
    """(rows, count) columns of the smallest entries of each row, in rising order.

    They can only be in the `count` blocks whose own minima are smallest: sorting those blocks
    takes half the time of sorting the row.
    """
    blocks = distances.shape[1] // BLOCK
    minima = distances.view(len(distances), BLOCK, blocks).amin(1)
    kept = minima.topk(min(count, blocks), largest=False, sorted=False).indices
    columns = (kept[:, None] + blocks * torch.arange(BLOCK)[:, None]).flatten(1)
    order = distances.gather(1, columns).topk(count, largest=False).indices
    return columns.gather(1, order)
