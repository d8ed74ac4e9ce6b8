"""Encode speech into latents, with clips of similar length in one forward pass.

Batching does not change the latents. The codec is causal, so zeros after the end of a clip do not
reach its frames, and a clip in a batch differs from the same clip alone only by rounding, since
sums are added in another order. The batches depend only on the manifest and the settings, so the
same input gives the same bits. A codec whose frames hear all of a clip gets one at a time.
"""

import hashlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from moshi.modules.seanet import SEANetEncoder
from moshi.utils.compile import no_compile
from tqdm import tqdm

from mimi_dynamics.codec.base import SAMPLE_RATE, Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.resampling import Resampler
from mimi_dynamics.encoding.fast_encoder import MatrixEncoder
from mimi_dynamics.encoding.frames import frame_levels, gated_frames, silent_frames
from mimi_dynamics.encoding.shards import Shard, gather_shards, plan_shards, remove_others
from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.engines import run_jobs
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import remove, remove_leftovers
from mimi_dynamics.pipeline.parallel import one_thread_each
from mimi_dynamics.pipeline.params import EncodeParams
from mimi_dynamics.pipeline.without_audio import ENCODER_ALONE

ALONE_CLIPS = 8  # This many clips are also encoded alone, to measure what batching changes.
# On a CPU, encoders of Mimi's size or larger use `MatrixEncoder`, faster but rounding differently.
# mimi-mini does not, so that its results stay, bit for bit, those that are in git.
MATRIX_FILTERS = 64


class EncodedArrays(NamedTuple):
    """The arrays of one clip; see `EncodedClip`.

    Attributes:
        latent: (frames, dim) float32.
        rms_db: (frames,) float32, level in dB of full scale.
        codes: (frames, codebooks) int16.
        samples: number of samples of the clip, before it was padded to whole frames.
    """

    latent: np.ndarray
    rms_db: np.ndarray
    codes: np.ndarray
    samples: int


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
    parts = (type(codec), Resampler, MatrixEncoder, gated_frames)
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


def encode_group(
    codec: Codec, group: pd.DataFrame, batch_seconds: float, cores: int
) -> list[EncodedClip]:
    """Encode clips in batches of similar length.

    Each batch runs on one thread, and several batches run at the same time. With two cores in one
    small batch, they spent half of the time waiting for each other.

    Args:
        codec: the codec, prepared.
        group: rows of a manifest.
        batch_seconds: most seconds of padded audio in a batch.
        cores: how many batches run at the same time.

    Returns:
        The encoded clips, in the order of `group`.

    Raises:
        InputError: a clip is missing or not 24 kHz mono, or its latents are not finite.
    """
    clips: dict[int, EncodedClip] = {}
    batches = bucket_by_length(group["seconds"].to_numpy(), batch_seconds)

    def encode_rows(batch: np.ndarray) -> list[EncodedArrays]:
        return encode_batch(codec, [read_clip(Path(path)) for path in group["path"].iloc[batch]])

    # Why without torch's compiler: see `codec.threads`.
    with one_thread_each(), no_compile(), ThreadPoolExecutor(cores) as pool:
        all_encoded = list(pool.map(encode_rows, batches))
    for batch, encoded in zip(batches, all_encoded, strict=True):
        rows = group.iloc[batch]
        for position, row, arrays in zip(batch, rows.itertuples(), encoded, strict=True):
            if not np.isfinite(arrays.latent).all():
                raise InputError(f"clip {row.clip_id}: latents are not finite")
            clips[position] = EncodedClip(
                row.clip_id,
                row.voice,
                row.split,
                latent=arrays.latent,
                rms_db=arrays.rms_db,
                gated=gated_frames(row.gated, arrays.samples, codec.frame_size),
                codes=arrays.codes,
            )
    return [clips[position] for position in range(len(group))]


def bucket_by_length(seconds: np.ndarray, batch_seconds: float) -> list[np.ndarray]:
    """Group clips into batches of similar length.

    Args:
        seconds: (clips,) duration of each clip.
        batch_seconds: most seconds in a batch that is padded to its longest clip. A batch of a
            single clip may be longer.

    Returns:
        The indices of the clips in each batch, with the shortest clips first.
    """
    batches: list[list[int]] = []
    for clip in np.argsort(seconds, kind="stable"):
        # This clip is the longest so far, so all others of the batch would be padded to its length.
        if batches and (len(batches[-1]) + 1) * seconds[clip] <= batch_seconds:
            batches[-1].append(clip)
        else:
            batches.append([clip])
    return [np.array(batch) for batch in batches]


def encode_batch(codec: Codec, clips: Sequence[np.ndarray]) -> list[EncodedArrays]:
    """Encode clips of float32 audio (samples,), which may differ in length, in one forward pass."""
    frames = [math.ceil(len(clip) / codec.frame_size) for clip in clips]
    audio = np.zeros((len(clips), max(frames) * codec.frame_size), np.float32)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = clip
    with torch.no_grad():
        latents = _encode_rows(codec, torch.from_numpy(audio).to(codec.device), frames)
        codes = codec.quantize(latents).to(CPU).numpy().astype(np.int16)
        latents = latents.to(CPU)
    levels = frame_levels(audio, codec.frame_size)
    return [
        EncodedArrays(
            latents[row, :count].numpy(), levels[row, :count], codes[row, :count], len(clip)
        )
        for row, (clip, count) in enumerate(zip(clips, frames, strict=True))
    ]


def _encode_rows(codec: Codec, audio: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
    """Give the latents of padded clips, as (clips, most frames, dim) with zeros after each clip."""
    if codec.hears_ahead is not None:
        return codec.encode(audio)
    alone = [
        codec.encode(row[None, : count * codec.frame_size])[0]
        for row, count in zip(audio, frames, strict=True)
    ]
    return torch.nn.utils.rnn.pad_sequence(alone, batch_first=True)


def prepare(codec: Codec, dtype: torch.dtype) -> None:
    """Change `codec` in place so that it encodes fast, and in `dtype`.

    The latents it returns are converted to float32, and the quantiser works in float32 as before.
    """
    encoder = getattr(codec.model, "encoder", None)
    is_large = isinstance(encoder, SEANetEncoder) and encoder.n_filters >= MATRIX_FILTERS
    if isinstance(encoder, SEANetEncoder) and is_large and codec.device == CPU:
        codec.model.encoder = MatrixEncoder(encoder)
    codec.encode_in(dtype)


def relative_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Give the norm of the difference of two equal-shaped arrays over the norm of `second`."""
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))
