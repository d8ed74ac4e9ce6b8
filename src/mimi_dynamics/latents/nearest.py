"""Exact search for nearest neighbours."""

import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import Tensor


def nearest(queries: Tensor, keys: Tensor, count: int) -> Tensor:
    """(queries, count) int64, the keys at the smallest Euclidean distance, nearest first; exact.

    Args:
        queries: (queries, key_dim) float32.
        keys: (keys, key_dim) float32, at least `count` of them.
        count: how many.
    """
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(keys.numpy())
    with threadpool_limits(1):  # lookups run side by side, one a core
        return torch.from_numpy(search.kneighbors(queries.numpy(), return_distance=False))
