"""Per-frame coordinates as all candidates for a state are seen: whitened, with one noise floor.

Differential entropy has no absolute scale, so that a sequence can be made easy by making it small.
Every candidate, raw x among them, therefore gets zero mean and unit covariance on train, and then
independent N(0, 0.1²) noise on every coordinate; what is measured of it is measured after that.

Also the contract of states on disk: data/states/, Parquet, one row per clip: `clip_id`, `voice`,
`split`, `frames` (int32), `z_dyn` (list of float32, frames x dim, row by row, without the noise).
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents, check_finite
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path

NOISE_FLOOR = 0.1  # standard deviation, of whitened coordinates: what is smaller does not count
SHRINKAGE = 1e-3  # of a batch's covariance towards the identity
# The gain at which all but the noise of a coordinate is predicted: ease 1.
MOST_GAIN = 0.5 * math.log(1 + 1 / NOISE_FLOOR**2)
SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("voice", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("z_dyn", pa.list_(pa.float32()), nullable=False),
    ]
)
PART = "part-000.parquet"


@dataclass(frozen=True)
class Candidate:
    """Coordinates that may be easier to model than x, ready to be measured.

    Attributes:
        name: as in metrics.
        updates: one row for every update, with the noise floor; what ease is measured on.
        held: the newest update at every frame, with the same noise; what x is read from.
    """

    name: str
    updates: Sequences
    held: Sequences


def update_index(lengths: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Which frames are updates, and which update is the newest at every frame.

    Args:
        lengths: (clips,) frames of each clip.
        stride: frames between two updates; the first frame of a clip is one.

    Returns:
        (updates,) index of each update's frame, and (frames,) index of each frame's update.
    """
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    is_update = within % stride == 0
    return np.flatnonzero(is_update), np.cumsum(is_update) - 1


def at_updates(data: Sequences, stride: int) -> Sequences:
    """Only the frames at which states are updated."""
    frames, _ = update_index(data.lengths, stride)
    kept = torch.from_numpy(frames)
    return replace(
        data,
        frames=data.frames[kept],
        voiced=data.voiced[kept],
        lengths=-(-data.lengths // stride),
    )


def make_candidate(
    name: str, data: Sequences, coordinates: Tensor, stride: int, seed: int
) -> Candidate:
    """Whiten on train, keep every `stride`-th frame, add the noise floor, hold.

    Args:
        name: of the candidate.
        data: the clips that the coordinates are of.
        coordinates: (frames, dim) of every frame, each from frames up to it.
        stride: frames between two updates.
        seed: of the noise.
    """
    updates = at_updates(replace(data, frames=coordinates), stride)
    whitened = whiten(updates)
    generator = torch.Generator().manual_seed(seed)
    noise = NOISE_FLOOR * torch.randn(whitened.shape, generator=generator)
    updates = replace(updates, frames=whitened + noise)
    _, newest = update_index(data.lengths, stride)
    held = replace(data, frames=updates.frames[torch.from_numpy(newest)])
    return Candidate(name, updates, held)


def whiten(data: Sequences) -> Tensor:
    """(frames, dim) of zero mean and unit covariance on train, turned as little as can be.

    The symmetric root leaves white coordinates, as a trained model's states are, as they are.
    """
    mean, covariance = moments(data.select("train").frames.double())
    variances, directions = torch.linalg.eigh(covariance)
    root = directions / variances.sqrt() @ directions.T
    return ((data.frames.double() - mean) @ root).float()


def write_states(path: Path, latents: Latents, states: np.ndarray) -> None:
    """Write the folder `path`; same states, same bytes.

    Args:
        path: of the folder.
        latents: what the states are of, clip by clip.
        states: (frames, dim) float32.
    """
    schema = SCHEMA.with_metadata({"dim": str(states.shape[1])})
    begins = np.cumsum(latents.lengths) - latents.lengths
    # Row groups do not mix splits; clips of one split follow one another.
    changes = np.flatnonzero(latents.splits[1:] != latents.splits[:-1]) + 1
    with atomic_path(path) as folder:
        folder.mkdir()
        with pq.ParquetWriter(folder / PART, schema, compression="zstd") as writer:
            for clips in np.split(np.arange(len(begins)), changes):
                first, last = clips[0], clips[-1]
                rows = states[begins[first] : begins[last] + latents.lengths[last]]
                offsets = np.concatenate([[0], np.cumsum(latents.lengths[clips])])
                columns = [
                    pa.array(latents.clip_ids[clips].tolist(), pa.string()),
                    pa.array(latents.voices[clips].tolist(), pa.string()),
                    pa.array(latents.splits[clips].tolist(), pa.string()),
                    pa.array(latents.lengths[clips], pa.int32()),
                    pa.ListArray.from_arrays(
                        pa.array(offsets * states.shape[1], pa.int32()),
                        pa.array(rows.ravel(), pa.float32()),
                    ),
                ]
                table = pa.Table.from_arrays(columns, schema=schema)
                writer.write_table(table, row_group_size=len(clips))


def read_states(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read what `write_states` wrote.

    Returns:
        (frames, dim) float32 states, and (clips,) the clips that they are of, in order.

    Raises:
        InputError: there are none, they are no states, or a number in them is not finite.
    """
    file = path / PART
    if not file.exists():
        raise InputError(f"{path}: no states; run the stage rssm")
    try:
        table = pq.read_table(file, schema=SCHEMA)
        dim = int((pq.read_schema(file).metadata or {})[b"dim"])
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not a folder of states: {' '.join(str(error).split())}"
        ) from error
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table["z_dyn"].chunks])
    states, clip_ids = flat.reshape(-1, dim), np.array(table["clip_id"].to_pylist(), dtype=str)
    lengths = table["frames"].to_numpy()
    check_finite(states, lengths, clip_ids, f"{path}: run the stage rssm again")
    return states, clip_ids


def moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(dim,) mean and (dim, dim) covariance of (rows, dim), shrunk a little to be invertible."""
    mean = rows.mean(0)
    centred = rows - mean
    covariance = centred.T @ centred / len(rows)
    scale = covariance.diagonal().mean()
    return mean, covariance + SHRINKAGE * scale * torch.eye(rows.shape[1])
