"""Speech to latents: clips of like length share a forward pass, and nobody's latents notice.

The codec is causal, so zeros after a clip's end do not reach its frames, and a batch differs from
its clips alone only by the rounding of sums taken in another order. What is batched with what
depends on the manifest and the settings only: same input, same bits.
"""

import hashlib
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import moshi
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from moshi.modules.seanet import SEANetEncoder
from moshi.utils.compile import no_compile
from tqdm import tqdm

from mimi_dynamics.codec.base import FRAME_SIZE, Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.encoding.fast_encoder import MatrixEncoder
from mimi_dynamics.encoding.shards import Shard, gather_shards, plan_shards, remove_others
from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.engines import run_jobs
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import remove, remove_leftovers
from mimi_dynamics.pipeline.parallel import one_thread_each
from mimi_dynamics.pipeline.params import EncodeParams

SILENCE_DB = -100.0
ALONE_CLIPS = 8
MATRIX_FILTERS = 64  # Mimi's; for mimi-mini the bits in git count more


class EncodedArrays(NamedTuple):
    """What the codec makes of one clip: the arrays of an `EncodedClip`."""

    latent: np.ndarray
    rms_db: np.ndarray
    codes: np.ndarray


def encode_corpus(
    codec: Codec, manifest: pd.DataFrame, path: Path, params: EncodeParams, work: Path
) -> dict[str, Any]:
    """Encode all clips of `manifest` into the folder `path`, and give the metrics of that.

    What a run before this one has finished of the same work, killed or not, is used.

    Args:
        codec: what encodes, and is prepared for that alone: it does not stream any more.
        manifest: one row per clip: `clip_id`, `voice`, `split`, `path`, `seconds`. Written by
            split, each in the manifest's order.
        path: folder of latents, replaced whole; see `latents`. No other run may be writing it.
        params: how, and where.
        work: folder of shards that are complete, removed in the end; of this call alone.

    Raises:
        InputError: a clip that is missing, not 24 kHz mono, or whose latents are not finite.
    """
    remove_leftovers(path)
    prepare(codec, getattr(torch, params.dtype))
    info = {
        "codec": codec.name,
        "weights_sha256": codec.weights_sha256,
        "latent_kind": LATENT_KIND,
        "dim": codec.dim,
        "codebooks": codec.codebooks,
        "frame_rate": codec.frame_rate,
        "sample_rate": codec.sample_rate,
    }
    shards = plan_shards(manifest, work, _recipe(codec, info, params))
    remove_others(work, {shard.path.name for shard in shards})
    missing = [shard for shard in shards if not shard.is_complete]
    encode = partial(ShardEncoder, codec, info, params.batch_seconds)
    with tqdm(desc="encode", total=len(manifest), unit="clip", disable=None) as bar:
        bar.update(len(manifest) - sum(len(shard.clips) for shard in missing))
        for clips in run_jobs(encode, missing, params.engine, "encode"):
            bar.update(clips)
    alone = manifest.iloc[choose_evenly(len(manifest), ALONE_CLIPS)]
    inspect = partial(_inspect, codec, dict(zip(alone["clip_id"], alone["path"], strict=True)))
    metrics = _metrics(codec, gather_shards(shards, path, info, inspect, params.engine))
    remove(work)
    return metrics


@dataclass(frozen=True)
class ShardEncoder:
    """What encodes shards, in whatever process.

    Attributes:
        codec: what encodes.
        info: what the latents are of; see `latents`.
        batch_seconds: of padded audio in one forward pass; a longer clip passes alone.
        cores: how many batches of a shard are encoded side by side.
    """

    codec: Codec
    info: dict[str, Any]
    batch_seconds: float
    cores: int

    def __call__(self, shards: Sequence[Shard]) -> Iterator[int]:
        """Write the latents of each shard, and give the number of its clips."""
        for shard in shards:
            clips = encode_group(self.codec, shard.clips, self.batch_seconds, self.cores)
            with LatentWriter(shard.path, self.info) as writer:
                writer.write(clips)
            yield len(clips)


@dataclass(frozen=True)
class ShardFacts:
    """What the metrics need to know of a shard.

    Attributes:
        split: of all its clips.
        clips: how many.
        frames: how many.
        finite: how many of its latents' numbers are.
        noise: largest relative difference between clips in their batches and the same clips alone.
    """

    split: str
    clips: int
    frames: int
    finite: int
    noise: float


def _recipe(codec: Codec, info: dict[str, Any], params: EncodeParams) -> str:
    """All that latents depend on besides the clips; not where they are encoded."""
    digest = hashlib.sha256()
    for name, tensor in codec.model.state_dict().items():  # not all weights come from a file
        digest.update(name.encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy())
    for module in (__name__, type(codec).__module__, MatrixEncoder.__module__):
        digest.update(Path(sys.modules[module].__file__).read_bytes())
    settings = params.model_dump(exclude={"engine"})
    return repr((info, settings, torch.__version__, moshi.__version__, digest.hexdigest()))


def _inspect(codec: Codec, alone: Mapping[str, str], table: pa.Table) -> ShardFacts:
    """Take stock of a shard; those of its clips that have a path in `alone` are encoded alone."""
    latents, noise = table["latent"].combine_chunks(), 0.0
    for clip_id, latent in zip(table["clip_id"].to_pylist(), latents, strict=True):
        if clip_id in alone:
            single = encode_batch(codec, [read_clip(Path(alone[clip_id]))])[0].latent
            batched = latent.values.to_numpy().reshape(-1, codec.dim)
            noise = max(noise, relative_difference(batched, single))
    numbers = latents.flatten().to_numpy()
    return ShardFacts(
        split=table["split"][0].as_py(),
        clips=len(table),
        frames=len(numbers) // codec.dim,
        finite=int(np.isfinite(numbers).sum()),
        noise=noise,
    )


def _metrics(codec: Codec, shards: Sequence[ShardFacts]) -> dict[str, Any]:
    frames: Counter[str] = Counter()
    for shard in shards:
        frames[shard.split] += shard.frames
    return {
        "clips": sum(shard.clips for shard in shards),
        "frames": frames.total(),
        "frames_by_split": dict(frames),
        "dim": codec.dim,
        "codebooks": codec.codebooks,
        "finite_share": sum(shard.finite for shard in shards) / (frames.total() * codec.dim),
        "batch_noise_floor": max(shard.noise for shard in shards),
    }


def encode_group(
    codec: Codec, group: pd.DataFrame, batch_seconds: float, cores: int
) -> list[EncodedClip]:
    """Encode the clips of `group` (rows of a manifest) in batches of like length, in its order.

    A batch runs on one thread and batches side by side: with both cores in one small batch, half
    of the time went into their waiting for each other.
    """
    clips: dict[int, EncodedClip] = {}
    batches = bucket_by_length(group["seconds"].to_numpy(), batch_seconds)

    def encode_rows(batch: np.ndarray) -> list[EncodedArrays]:
        return encode_batch(codec, [read_clip(Path(path)) for path in group["path"].iloc[batch]])

    # moshi compiles nothing on a processor, but says so in a way that threads undo for each other:
    # one start in seven compiled part of a batch, with other last bits.
    with one_thread_each(), no_compile(), ThreadPoolExecutor(cores) as pool:
        all_encoded = list(pool.map(encode_rows, batches))
    for batch, encoded in zip(batches, all_encoded, strict=True):
        rows = group.iloc[batch]
        for position, row, arrays in zip(batch, rows.itertuples(), encoded, strict=True):
            if not np.isfinite(arrays.latent).all():
                raise InputError(f"clip {row.clip_id}: latents are not finite")
            clips[position] = EncodedClip(row.clip_id, row.voice, row.split, *arrays)
    return [clips[position] for position in range(len(group))]


def bucket_by_length(seconds: np.ndarray, batch_seconds: float) -> list[np.ndarray]:
    """Share clips of `seconds` (clips,) out into batches: indices, shortest clips first.

    A batch, padded to its longest clip, holds no more than `batch_seconds`, or a single clip.
    """
    batches: list[list[int]] = []
    for clip in np.argsort(seconds, kind="stable"):
        # The clip at hand is the longest so far: all of the batch would be padded to it.
        if batches and (len(batches[-1]) + 1) * seconds[clip] <= batch_seconds:
            batches[-1].append(clip)
        else:
            batches.append([clip])
    return [np.array(batch) for batch in batches]


def encode_batch(codec: Codec, clips: Sequence[np.ndarray]) -> list[EncodedArrays]:
    """Encode clips of float32 audio (samples,) in one forward pass."""
    frames = [math.ceil(len(clip) / FRAME_SIZE) for clip in clips]
    audio = np.zeros((len(clips), max(frames) * FRAME_SIZE), np.float32)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = clip
    with torch.no_grad():
        latents = codec.encode(torch.from_numpy(audio))
        codes = codec.quantize(latents).numpy().astype(np.int16)
    levels = frame_levels(audio)
    return [
        EncodedArrays(latents[row, :count].numpy(), levels[row, :count], codes[row, :count])
        for row, count in enumerate(frames)
    ]


def prepare(codec: Codec, dtype: torch.dtype) -> None:
    """Have `codec` compute latents in `dtype`, and fast; what it gives, and codes, stay float32."""
    encoder = getattr(codec.model, "encoder", None)
    if isinstance(encoder, SEANetEncoder) and encoder.n_filters >= MATRIX_FILTERS:
        codec.model.encoder = MatrixEncoder(encoder)
    codec.encode_in(dtype)


def frame_levels(audio: np.ndarray) -> np.ndarray:
    """Give the level (clips, frames) of each frame of `audio` (clips, frames * 1920) in dBFS."""
    frames = audio.reshape(len(audio), -1, FRAME_SIZE).astype(np.float64)
    power = np.square(frames).mean(-1)
    floor = 10 ** (SILENCE_DB / 10)
    return (10 * np.log10(np.maximum(power, floor))).astype(np.float32)


def relative_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Norm of the difference over the norm of `second`."""
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))
