"""Exact search: the train keys most like each query, by distance or by equality."""

import torch
from torch import Tensor

QUERIES_AT_ONCE = 64  # rows of ranks of 50,000 keys: 13 MB


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
    found = []
    for part in queries.split(QUERIES_AT_ONCE):
        equal = (part[:, None] == keys).cumprod(-1).sum(-1)
        found.append((order - equal).topk(count, largest=False).indices)
    return torch.cat(found)
