"""A conditional memory addressed by hashed suffix n-grams: Engram (arXiv 2601.07372, section 2).

Discrete keys of the last frames address rows of tables. A gate, which depends on what the trunk
knows, decides how much of these rows is added to its hidden state.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

ORDERS = (2, 3)
KERNEL = 4
TABLE_STD = 0.02  # initial standard deviation of rows, which the paper does not give


class Hashing(nn.Module):
    """The rows of the tables for the n-grams of keys that end at every frame.

    The keys of an n-gram are mixed to one number: each is multiplied by an odd number that depends
    on its place, and the products are combined by exclusive or. Each head takes the result modulo a
    prime of its own.

    Args:
        keys: number of different keys; the value `keys` itself pads the start of a clip.
        rows: least number of rows in the table of each head.
        heads: number of tables for each order.
        seed: seed of the multipliers.
        orders: lengths of the n-grams, ascending, each 2 or more.
        one_row: whether all n-grams have one address, the first row of each table: a control that
            has all of the module but nothing to look up.
    """

    multipliers: Tensor
    primes: Tensor
    offsets: Tensor

    def __init__(
        self,
        keys: int,
        rows: int,
        heads: int,
        seed: int,
        orders: tuple[int, ...] = ORDERS,
        *,
        one_row: bool = False,
    ) -> None:
        super().__init__()
        self.keys, self.orders, self.one_row = keys, orders, one_row
        self.sizes = next_primes(rows, heads * len(orders))
        limit = np.iinfo(np.int64).max // (keys + 1) // 2
        odd = 2 * np.random.default_rng(seed).integers(0, limit, max(orders)) + 1
        self.register_buffer("multipliers", torch.from_numpy(odd))
        self.register_buffer("primes", torch.tensor(self.sizes).view(len(orders), heads))
        offsets = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self.register_buffer("offsets", torch.from_numpy(offsets).view(len(orders), heads))

    def forward(self, keys: Tensor) -> Tensor:
        """Map (clips, time) keys to (clips, time, orders * heads) rows of one joint table."""
        if self.one_row:
            return self.offsets.flatten().expand(*keys.shape, -1)
        mixed = keys * self.multipliers[0]
        rows = []
        for back in range(1, max(self.orders)):
            earlier = functional.pad(keys[:, :-back], (back, 0), value=self.keys)
            mixed = mixed ^ (earlier[:, : keys.shape[1]] * self.multipliers[back])
            if back + 1 in self.orders:
                order = self.orders.index(back + 1)
                rows.append(mixed[..., None] % self.primes[order] + self.offsets[order])
        return torch.cat(rows, -1)


class EngramMemory(nn.Module):
    """What is added to the hidden state: gated rows and a short causal convolution of them.

    Args:
        hashing: maps keys to rows.
        row_dim: number of features of a row.
        width: number of features of the hidden state.
    """

    def __init__(self, hashing: Hashing, row_dim: int, width: int) -> None:
        super().__init__()
        self.hashing = hashing
        # Gradients are sparse: a step updates only the rows of its frames, however large the tables
        # are.
        self.tables = nn.Embedding(sum(hashing.sizes), row_dim, sparse=True)
        nn.init.normal_(self.tables.weight, std=TABLE_STD)
        read = row_dim * len(hashing.sizes)
        self.to_key = nn.Linear(read, width)
        self.to_value = nn.Linear(read, width)
        self.norm_hidden, self.norm_key = nn.RMSNorm(width), nn.RMSNorm(width)
        self.norm_value = nn.RMSNorm(width)
        self.taps = nn.Parameter(torch.zeros(KERNEL, width))  # convolution weights, oldest first

    def forward(self, keys: Tensor, hidden: Tensor) -> Tensor:
        """Give what to add to `hidden`, of the same shape.

        Args:
            keys: (clips, time) keys.
            hidden: (clips, time, width) hidden state.
        """
        read = self.tables(self.hashing(keys)).flatten(-2)
        value = self.openness(read, hidden) * self.to_value(read)
        return value + functional.silu(self.convolve(self.norm_value(value)))

    def convolve(self, values: Tensor) -> Tensor:
        """Convolve (clips, time, width) values causally in time, each feature on its own.

        The dilation is the largest order.
        """
        # This is a sum of products because on a CPU the gradient of nn.Conv1d took a fifth of the
        # time of a training step.
        time, dilation = values.shape[1], max(self.hashing.orders)
        padded = functional.pad(values, (0, 0, (KERNEL - 1) * dilation, 0))
        starts = range(0, KERNEL * dilation, dilation)
        shifted = [padded[:, start : start + time] for start in starts]
        return sum(part * tap for part, tap in zip(shifted, self.taps, strict=True))

    def openness(self, read: Tensor, hidden: Tensor) -> Tensor:
        """Give the (clips, time, 1) gate, from 0 to 1, for the rows read and the hidden state.

        Args:
            read: (clips, time, features) the rows read from the tables.
            hidden: (clips, time, width) hidden state.
        """
        agreement = self.norm_hidden(hidden) * self.norm_key(self.to_key(read))
        return torch.sigmoid(agreement.sum(-1, keepdim=True) / hidden.shape[-1] ** 0.5)


def next_primes(least: int, count: int) -> list[int]:
    """Give the first `count` primes from `least` on, so that no two heads share a modulus."""
    primes: list[int] = []
    number = max(2, least)
    while len(primes) < count:
        if all(number % divisor for divisor in range(2, int(number**0.5) + 1)):
            primes.append(number)
        number += 1
    return primes
