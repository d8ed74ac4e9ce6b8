"""Encode a corpus into latents, in shards that an interrupted run finds again."""

import hashlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from tqdm import tqdm

from mimi_dynamics.codec.base import SAMPLE_RATE, Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.resampling import Resampler
from mimi_dynamics.encoding.batches import encode_batch, encode_group, prepare
from mimi_dynamics.encoding.fast_encoder import MatrixEncoder
from mimi_dynamics.encoding.frames import gated_frames, silent_frames
from mimi_dynamics.encoding.shards import Shard, gather_shards, plan_shards, remove_others
from mimi_dynamics.latents.store import LATENT_KIND, LatentWriter
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.engines import run_jobs
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import remove, remove_leftovers
from mimi_dynamics.pipeline.params import EncodeParams
from mimi_dynamics.pipeline.without_audio import ENCODER_ALONE

ALONE_CLIPS = 8  # This many clips are also encoded alone, to measure what batching changes.


def encode_corpus(
    codec: Codec, manifest: pd.DataFrame, path: Path, params: EncodeParams, work: Path
) -> dict[str, Any]:
    """Encode all clips of `manifest` into the folder `path`, and give the metrics of the encoding.

    Shards that an earlier run of the same work has finished are used again, even if it was killed.

    Args:
        codec: the codec. It is changed for fast encoding, and cannot stream afterwards.
        manifest: one row per clip: `clip_id`, `voice`, `split`, `path`, `seconds`, `gated`. Clips
            are written split by split, each in the manifest's order.
        path: folder of latents (see `latents.store`), which is replaced as a whole. No other run
            may be writing it.
        params: how to encode, and where.
        work: folder for finished shards, which is removed in the end. No other call may use it.

    Returns:
        Counts of clips and frames; `silent_share`, the share of frames in or beside digital
        silence; `padded_share`, the share of other frames within which their clip ends; the share
        of finite numbers; and the largest relative change of latents by batching.

    Raises:
        InputError: a clip is missing or not 24 kHz mono, or its latents are not finite; or a
            cluster is to encode, but the codec is on a GPU.
    """
    if params.engine == "ray" and codec.device != CPU:
        raise InputError("encode.engine = 'ray': must be 'local' with compute.device = 'cuda'")
    remove_leftovers(path)
    prepare(codec, getattr(torch, params.dtype))
    info = {
        "codec": codec.name,
        "weights_sha256": codec.weights_sha256,
        "latent_kind": LATENT_KIND if codec.can_decode else ENCODER_ALONE,
        "dim": codec.dim,
        "codebooks": codec.codebooks,
        "frame_rate": codec.frame_rate,
        "sample_rate": codec.sample_rate,
    }
    shards = plan_shards(manifest, work, _recipe(codec, info, params))
    remove_others(work, {shard.path.name for shard in shards})
    missing = [shard for shard in shards if not shard.is_complete]
    encode: Callable[[int], ShardEncoder] = partial(ShardEncoder, codec, info, params.batch_seconds)
    with tqdm(desc="encode", total=len(manifest), unit="clip", disable=None) as bar:
        bar.update(len(manifest) - sum(len(shard.clips) for shard in missing))
        for clips in run_jobs(encode, missing, params.engine, "encode"):
            bar.update(clips)
    alone = manifest.iloc[choose_evenly(len(manifest), ALONE_CLIPS)]
    paths = dict(zip(alone["clip_id"], alone["path"], strict=True))
    inspect: Callable[[pa.Table], ShardFacts] = partial(_inspect, codec, paths)
    facts = gather_shards(shards, path, info, inspect, params.engine)
    metrics = _metrics(codec, facts, _count_silent(manifest, codec.frame_size))
    remove(work)
    return metrics


@dataclass(frozen=True)
class ShardEncoder:
    """Encodes shards. It can be sent to any process.

    Attributes:
        codec: the codec.
        info: describes the latents; see `latents.store.INFO_TYPES`.
        batch_seconds: most seconds of padded audio in one forward pass. A longer clip passes alone.
        cores: how many batches of a shard are encoded at the same time.
    """

    codec: Codec
    info: dict[str, Any]
    batch_seconds: float
    cores: int

    def __call__(self, shards: Sequence[Shard]) -> Iterator[int]:
        """Write the latents of each shard, and yield the number of its clips."""
        for shard in shards:
            clips = encode_group(self.codec, shard.clips, self.batch_seconds, self.cores)
            with LatentWriter(shard.path, self.info) as writer:
                writer.write(clips)
            yield len(clips)


@dataclass(frozen=True)
class ShardFacts:
    """What the metrics need to know about a shard.

    Attributes:
        split: the split of all its clips.
        clips: number of clips.
        frames: number of frames.
        gated: number of frames that never count; see `gated_frames`.
        finite: how many of the numbers in its latents are finite.
        noise: largest relative difference between clips in their batches and the same clips alone.
    """

    split: str
    clips: int
    frames: int
    gated: int
    finite: int
    noise: float


def _recipe(codec: Codec, info: dict[str, Any], params: EncodeParams) -> str:
    """Describe all that latents depend on besides the clips; the engine makes no difference."""
    digest = hashlib.sha256()
    # The weights themselves are hashed, because not all of them come from a file.
    for name, tensor in codec.model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.to(CPU).contiguous().flatten().view(torch.uint8).numpy())
    parts = (type(codec), Resampler, MatrixEncoder, gated_frames, encode_batch)
    for module in (__name__, *(part.__module__ for part in parts)):
        digest.update(Path(str(sys.modules[module].__file__)).read_bytes())
    settings = params.model_dump(exclude={"engine"})
    runtime = torch.__version__, codec.runtime, codec.device.type
    return repr((info, settings, runtime, digest.hexdigest()))


def _inspect(codec: Codec, alone: Mapping[str, str], table: pa.Table) -> ShardFacts:
    """Collect the facts of a shard, and encode some of its clips again, each alone.

    Args:
        codec: the codec, prepared as for the shard.
        alone: paths of the audio of clips to encode alone, by `clip_id`.
        table: the latents of the shard, a row for each clip.
    """
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
        gated=int(np.count_nonzero(table["gated"].combine_chunks().flatten())),
        finite=int(np.isfinite(numbers).sum()),
        noise=noise,
    )


def _count_silent(manifest: pd.DataFrame, frame_size: int) -> int:
    """Count the frames of all clips that are in or beside digital silence."""
    frames = [math.ceil(round(s * SAMPLE_RATE) / frame_size) for s in manifest["seconds"]]
    return sum(
        int(np.count_nonzero(silent_frames(intervals, count, frame_size=frame_size)))
        for intervals, count in zip(manifest["gated"], frames, strict=True)
    )


def _metrics(codec: Codec, shards: Sequence[ShardFacts], silent: int) -> dict[str, Any]:
    frames: Counter[str] = Counter()
    for shard in shards:
        frames[shard.split] += shard.frames
    gated = sum(shard.gated for shard in shards)
    return {
        "clips": sum(shard.clips for shard in shards),
        "frames": frames.total(),
        "frames_by_split": dict(frames),
        "silent_share": silent / frames.total(),
        "padded_share": (gated - silent) / frames.total(),
        "dim": codec.dim,
        "codebooks": codec.codebooks,
        "finite_share": sum(shard.finite for shard in shards) / (frames.total() * codec.dim),
        "batch_noise_floor": max(shard.noise for shard in shards),
    }


def relative_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Give the norm of the difference of two equal-shaped arrays over the norm of `second`."""
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))
