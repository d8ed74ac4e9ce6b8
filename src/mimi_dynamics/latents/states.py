"""Prepare candidates for a state so that they are comparable, and store states on disk.

Differential entropy has no absolute scale, so a sequence would seem easier to predict if it were
only scaled down. Therefore every candidate, including raw x, gets zero mean and unit covariance on
train, and then independent N(0, 0.1²) noise on every coordinate. All measurements come after that.

This module also defines how states are stored in data/states/: as Parquet, with one row per clip
and the columns `clip_id`, `voice`, `split`, `frames` (int32) and `z_dyn` (list of float32,
frames x dim, row by row, without the noise).
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

# Standard deviation of the noise on whitened coordinates. Anything smaller does not count.
NOISE_FLOOR = 0.1
SHRINKAGE = 1e-3  # How far a covariance is shrunk towards the identity.
# The gain per coordinate, in nats, if all of it except the noise is predicted. It means ease 1.
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
        name: its name in metrics.
        updates: one row for every update, with the noise floor. Ease is measured on these.
        held: the newest update at every frame, with the same noise. x is read out from these.
    """

    name: str
    updates: Sequences
    held: Sequences


def update_index(lengths: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the frames at which a state is updated, and the newest update at every frame.

    Args:
        lengths: (clips,) number of frames of each clip.
        stride: frames from one update to the next. The first frame of a clip is always an update.

    Returns:
        (updates,) index of the frame of each update, and (frames,) index of the newest update at
        each frame.
    """
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    is_update = within % stride == 0
    return np.flatnonzero(is_update), np.cumsum(is_update) - 1


def at_updates(data: Sequences, stride: int) -> Sequences:
    """Keep only the frames at which states are updated, that is, every `stride`-th of each clip."""
    frames, _ = update_index(data.lengths, stride)
    kept = torch.from_numpy(frames)
    return replace(
        data,
        frames=data.frames[kept],
        voiced=data.voiced[kept],
        gated=data.gated[kept],
        lengths=-(-data.lengths // stride),
        frame_rate=data.frame_rate / stride,
    )


def make_candidate(
    name: str, data: Sequences, coordinates: Tensor, stride: int, seed: int
) -> Candidate:
    """Prepare a candidate: keep every `stride`-th frame, whiten, add the noise floor, and hold.

    Args:
        name: name of the candidate.
        data: the clips that the coordinates belong to.
        coordinates: (frames, dim), for every frame computed only from frames up to it.
        stride: frames from one update to the next.
        seed: seed of the noise.
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
    """Whiten frames to zero mean and unit covariance on train, with as little change as possible.

    Since the root of the covariance is symmetric, coordinates that are already white stay as they
    are. The states of a trained model are of this kind.

    Returns:
        (frames, dim) float32.
    """
    train = data.select("train")
    mean, covariance = moments(train.frames[~train.gated].double())
    variances, directions = torch.linalg.eigh(covariance)
    root = directions / variances.sqrt() @ directions.T
    return ((data.frames.double() - mean) @ root).float()


def write_states(path: Path, latents: Latents, states: np.ndarray) -> None:
    """Write a folder of states, atomically. The same states give the same bytes.

    Args:
        path: the folder.
        latents: the latents that the states belong to.
        states: (frames, dim) float32.
    """
    schema = SCHEMA.with_metadata({"dim": str(states.shape[1])})
    begins = np.cumsum(latents.lengths) - latents.lengths
    # Row groups do not mix splits. The clips of one split follow one another.
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
    """Read a folder of states that `write_states` wrote.

    Returns:
        (frames, dim) float32 states, and (clips,) ids of the clips that they belong to, in order.

    Raises:
        InputError: there are no states, the file does not hold states, or a number is not finite.
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
    """Give the mean (dim,) and the covariance (dim, dim) of `rows` (rows, dim).

    The covariance is shrunk a little towards the identity so that it can be inverted.
    """
    mean = rows.mean(0)
    centred = rows - mean
    covariance = centred.T @ centred / len(rows)
    scale = covariance.diagonal().mean()
    identity = torch.eye(rows.shape[1], device=rows.device)
    return mean, covariance + SHRINKAGE * scale * identity
