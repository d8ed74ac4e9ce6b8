"""What makes latents unfit to be measured.

Numbers that are not finite, columns that do not change, and vectors or values that repeat, on which
a density can put as much of its probability as it likes.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.own_latents.axes import Neighbours
from mimi_dynamics.own_latents.pieces import Piece
from mimi_dynamics.pipeline.errors import InputError

MOST_REPEATED = 0.01  # share of frames; copies of a frame are then 1 % of what a density can learn
LEAST_VALUES = 257  # a column of fewer has one value for each level of a quantiser of up to 8 bits
SAMPLED_FRAMES = 20_000  # of which the values of columns are counted
MOST_SHOWN = 8
ROUNDING = {"float16": 2**-11, "bfloat16": 2**-8, "float32": 2**-24, "float64": 2**-24}
# Odd factors of a multiplicative hash of the bytes of a frame (Knuth, TAOCP vol. 3, section 6.4).
FACTORS = np.random.default_rng(0).integers(2**62, 2**63, 4096, dtype=np.uint64) | np.uint64(1)


@dataclass
class Checks:
    """What is seen of all frames, piece by piece, so that not all of them need be in memory.

    Args:
        frames: the number of frames to come.
    """

    frames: int
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    hashes: list[np.ndarray] = field(default_factory=list)
    clips: dict[int, tuple[str, str]] = field(default_factory=dict)
    sample: list[np.ndarray] = field(default_factory=list)
    seen: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    neighbours: Neighbours = field(default_factory=Neighbours)

    def see(self, piece: Piece, stored: np.ndarray) -> np.ndarray:
        """Check a piece as it was read, and give it as (frames, dim) float32.

        Raises:
            InputError: a number is not finite, or is too large for float32.
        """
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(stored, dtype=np.float32)
        if not np.isfinite(values).all():
            raise not_finite(piece, stored, values)
        self.neighbours.see(values)
        self.digest.update(f"{values.shape}".encode())
        self.digest.update(values.data)
        step = max(1, self.frames // SAMPLED_FRAMES)
        self.sample.append(values[-self.seen % step :: step])
        self.seen += len(values)
        low, high = values.min(0), values.max(0)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)
        gated = piece.clip.gated
        heard = values if gated is None else values[~gated[piece.start : piece.stop]]
        hashes = hash_of(heard)
        self.hashes.append(hashes)
        whole = int(hash_of(hashes.view(np.uint32)[None])[0]) if len(hashes) else None
        if whole is not None:
            known = self.clips.setdefault(whole, (piece.clip.name, piece.clip.name))
            if known[0] != piece.clip.name:
                self.clips[whole] = (known[0], piece.clip.name)
        return values

    def finish(self, label: str) -> None:
        """Check what only all frames together can show.

        Raises:
            InputError: a column is constant, or frames or the values of a column repeat.
        """
        assert self.low is not None
        assert self.high is not None
        constant = np.flatnonzero(self.low == self.high)
        if len(constant):
            raise InputError(
                f"{label}: constant columns {shown(constant)}; leave them out, "
                "numpy.delete(latents, columns, axis=1)"
            )
        hashes = np.concatenate(self.hashes)
        _, counts = np.unique(hashes, return_counts=True)
        repeated = float(counts[counts > 1].sum() / len(hashes))
        if repeated > MOST_REPEATED:
            raise self._repeated(label, repeated)
        sample = np.concatenate(self.sample)
        few = [
            column
            for column in range(sample.shape[1])
            if len(np.unique(sample[:, column])) < min(LEAST_VALUES, len(sample) // 4)
        ]
        if few:
            raise InputError(
                f"{label}: columns {shown(few)} have fewer than {LEAST_VALUES} values, as after a "
                "quantiser, where a density can cheat; give the latents before it"
            )

    def _repeated(self, label: str, share: float) -> InputError:
        twice = next((pair for pair in self.clips.values() if pair[0] != pair[1]), None)
        if twice:
            return InputError(
                f"{label}: {twice[0]} and {twice[1]} are the same; keep one of every such pair, or "
                "what is tested was also learned"
            )
        return InputError(
            f"{label}: {100 * share:.1f} % of frames repeat another one exactly, as after a "
            "quantiser or in digital silence, where a density can cheat; give the latents before "
            "the quantiser, without digital silence"
        )


def not_finite(piece: Piece, stored: np.ndarray, values: np.ndarray) -> InputError:
    """Make the error of a piece with numbers that are not finite, which names the first."""
    row, column = np.argwhere(~np.isfinite(values))[0]
    found = values[row, column]
    where = f"{piece.clip.name}: frame {piece.start + row}, column {column} is {found}"
    if np.isinf(found) and (piece.clip.dtype == "float16" or np.isfinite(stored[row, column])):
        kind = "float16, which ends at 65,504" if piece.clip.dtype == "float16" else "float32"
        return InputError(f"{where}, an overflow of {kind}; encode again in float32, or scale down")
    bad = int((~np.isfinite(values).all(1)).sum())
    return InputError(
        f"{where}, and {bad} of {len(values)} frames read are not finite; encode this clip again, "
        "or leave it out"
    )


def hash_of(values: np.ndarray) -> np.ndarray:
    """Give a (rows,) uint64 hash of the bytes of each row of 4-byte numbers."""
    words = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    factors = np.resize(FACTORS, words.shape[1])
    mixed = words * factors
    return (mixed ^ (mixed >> np.uint64(29))).sum(1, dtype=np.uint64)


def beyond_rounding(normalizer: Normalizer, dtype: str) -> np.ndarray:
    """Tell which components vary by more than numbers of a type are rounded, as (dim,) bool.

    Args:
        normalizer: of as many dimensions as the latents have.
        dtype: a key of `ROUNDING`.
    """
    squares = np.square(normalizer.mean).sum() + np.square(normalizer.scale).sum()
    size = float(np.sqrt(squares) / np.sqrt(normalizer.components.shape[1]))
    return normalizer.scale > 4 * ROUNDING[dtype] * size


def shown(columns: np.ndarray | list[int]) -> str:
    """Write the first few of some columns."""
    text = ", ".join(str(column) for column in columns[:MOST_SHOWN])
    return f"{text} and {len(columns) - MOST_SHOWN} more" if len(columns) > MOST_SHOWN else text
