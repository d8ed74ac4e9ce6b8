"""Encode clips in batches: those of similar length in one forward pass.

Batching does not change the latents. The codec is causal, so zeros after the end of a clip do not
reach its frames, and a clip in a batch differs from the same clip alone only by rounding, since
sums are added in another order. The batches depend only on the manifest and the settings, so the
same input gives the same bits. A codec whose frames hear all of a clip gets one at a time.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from moshi.modules.seanet import SEANetEncoder
from moshi.utils.compile import no_compile

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.encoding.fast_encoder import MatrixEncoder
from mimi_dynamics.encoding.frames import frame_levels, gated_frames
from mimi_dynamics.latents.store import EncodedClip
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.parallel import one_thread_each

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


def prepare(codec: Codec, dtype: torch.dtype) -> None:
    """Change `codec` in place so that it encodes fast, and in `dtype`.

    The latents it returns are converted to float32, and the quantiser works in float32 as before.
    """
    encoder = getattr(codec.model, "encoder", None)
    is_large = isinstance(encoder, SEANetEncoder) and encoder.n_filters >= MATRIX_FILTERS
    if isinstance(encoder, SEANetEncoder) and is_large and codec.device == CPU:
        codec.model.encoder = MatrixEncoder(encoder)
    codec.encode_in(dtype)


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
