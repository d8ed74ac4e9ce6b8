"""Exact search for nearest neighbours."""

import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import Tensor


def nearest(queries: Tensor, keys: Tensor, count: int) -> Tensor:
    """Find the keys at the smallest Euclidean distance from each query, exactly.

    Args:
        queries: (queries, key_dim) float32.
        keys: (keys, key_dim) float32, at least `count` of them.
        count: how many keys to find for each query.

    Returns:
        (queries, count) int64 indices of keys, nearest first.
    """
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(keys.numpy())
    with threadpool_limits(1):  # Several lookups run at the same time, one on each core.
        return torch.from_numpy(search.kneighbors(queries.numpy(), return_distance=False))
