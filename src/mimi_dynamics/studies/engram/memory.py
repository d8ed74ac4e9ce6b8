"""Conditional memory by hashed suffix n-grams: Engram (arXiv 2601.07372, section 2).

Discrete keys of the last frames address rows of tables; a gate decides, by what the trunk knows,
how much of what is read there is added to its hidden state.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

ORDERS = (2, 3)
KERNEL = 4
TABLE_STD = 0.02  # of rows before training; the paper does not say


class Hashing(nn.Module):
    """Rows of the tables for the n-grams of keys that end at every frame.

    An n-gram is mixed to one number, the exclusive or of its keys, each times an odd multiplier of
    its place; each head takes it modulo a prime of its own.

    Args:
        keys: how many there are; the one more that pads the start of a clip is `keys`.
        rows: of each head's table at least.
        heads: tables of each order.
        seed: of the multipliers.
    """

    def __init__(self, keys: int, rows: int, heads: int, seed: int) -> None:
        super().__init__()
        self.keys = keys
        self.sizes = next_primes(rows, heads * len(ORDERS))
        limit = np.iinfo(np.int64).max // (keys + 1) // 2
        odd = 2 * np.random.default_rng(seed).integers(0, limit, max(ORDERS)) + 1
        self.register_buffer("multipliers", torch.from_numpy(odd))
        self.register_buffer("primes", torch.tensor(self.sizes).view(len(ORDERS), heads))
        offsets = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self.register_buffer("offsets", torch.from_numpy(offsets).view(len(ORDERS), heads))

    def forward(self, keys: Tensor) -> Tensor:
        """(clips, time, orders * heads) rows, in one table of all, from keys of (clips, time)."""
        mixed = keys * self.multipliers[0]
        rows = []
        for back in range(1, max(ORDERS)):
            earlier = functional.pad(keys[:, :-back], (back, 0), value=self.keys)
            mixed = mixed ^ (earlier[:, : keys.shape[1]] * self.multipliers[back])
            if back + 1 in ORDERS:
                order = ORDERS.index(back + 1)
                rows.append(mixed[..., None] % self.primes[order] + self.offsets[order])
        return torch.cat(rows, -1)


class EngramMemory(nn.Module):
    """What is added to the hidden state: gated rows, and a short causal convolution of them.

    Args:
        hashing: from keys to rows.
        row_dim: features of a row.
        width: of the hidden state.
    """

    def __init__(self, hashing: Hashing, row_dim: int, width: int) -> None:
        super().__init__()
        self.hashing = hashing
        # Sparse: a step touches as many rows as frames, however large the tables are.
        self.tables = nn.Embedding(sum(hashing.sizes), row_dim, sparse=True)
        nn.init.normal_(self.tables.weight, std=TABLE_STD)
        read = row_dim * len(hashing.sizes)
        self.to_key = nn.Linear(read, width)
        self.to_value = nn.Linear(read, width)
        self.norm_hidden, self.norm_key = nn.RMSNorm(width), nn.RMSNorm(width)
        self.norm_value = nn.RMSNorm(width)
        self.taps = nn.Parameter(torch.zeros(KERNEL, width))  # of the convolution, oldest first

    def forward(self, keys: Tensor, hidden: Tensor) -> Tensor:
        """(clips, time, width) to be added to `hidden` of that shape, for keys of (clips, time)."""
        read = self.tables(self.hashing(keys)).flatten(-2)
        value = self.openness(read, hidden) * self.to_value(read)
        return value + functional.silu(self.convolve(self.norm_value(value)))

    def convolve(self, values: Tensor) -> Tensor:
        """(clips, time, width) causal depthwise convolution, dilated by the largest order."""
        # As sums of products: on a CPU the gradient of nn.Conv1d took a fifth of a training step.
        time = values.shape[1]
        padded = functional.pad(values, (0, 0, (KERNEL - 1) * max(ORDERS), 0))
        starts = range(0, KERNEL * max(ORDERS), max(ORDERS))
        shifted = [padded[:, start : start + time] for start in starts]
        return sum(part * tap for part, tap in zip(shifted, self.taps, strict=True))

    def openness(self, read: Tensor, hidden: Tensor) -> Tensor:
        """(clips, time, 1) the gate, 0 to 1, for what was read and the hidden state."""
        agreement = self.norm_hidden(hidden) * self.norm_key(self.to_key(read))
        return torch.sigmoid(agreement.sum(-1, keepdim=True) / hidden.shape[-1] ** 0.5)


def next_primes(least: int, count: int) -> list[int]:
    """The first `count` primes from `least` on: no two heads share a modulus."""
    primes: list[int] = []
    number = max(2, least)
    while len(primes) < count:
        if all(number % divisor for divisor in range(2, int(number**0.5) + 1)):
            primes.append(number)
        number += 1
    return primes
