"""Speech to latents: clips of like length share a forward pass, and nobody's latents notice.

The codec is causal, so zeros after a clip's end do not reach its frames, and a batch differs from
its clips alone only by the rounding of sums taken in another order. What is batched with what
depends on the manifest and the settings only: same input, same bits.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import soundfile
import torch
from tqdm import tqdm

from mimi_dynamics.codec import FRAME_SIZE, SAMPLE_RATE, Codec
from mimi_dynamics.errors import InputError
from mimi_dynamics.latents import LATENT_KIND, EncodedClip, LatentWriter
from mimi_dynamics.parallel import available_cores, one_thread_each
from mimi_dynamics.splits import SPLITS

CLIPS_PER_GROUP = 128  # of up to two minutes: 100 MB of latents held at most for mimi-mini
SILENCE_DB = -100.0
ALONE_CLIPS = 8


class EncodedArrays(NamedTuple):
    """What the codec makes of one clip: the arrays of an `EncodedClip`."""

    latent: np.ndarray
    rms_db: np.ndarray
    codes: np.ndarray


def encode_corpus(
    codec: Codec, manifest: pd.DataFrame, path: Path, batch_seconds: float
) -> dict[str, Any]:
    """Encode all clips of `manifest` into the folder `path`, and give the metrics of that.

    Args:
        codec: what encodes.
        manifest: one row per clip: `clip_id`, `voice`, `split`, `path`, `seconds`. Written by
            split, each in the manifest's order.
        path: folder of latents, replaced whole; see `latents`.
        batch_seconds: of padded audio in one forward pass; a longer clip passes alone.

    Raises:
        InputError: a clip that is missing, not 24 kHz mono, or whose latents are not finite.
    """
    info = {
        "codec": codec.name,
        "weights_sha256": codec.weights_sha256,
        "latent_kind": LATENT_KIND,
        "dim": codec.dim,
        "codebooks": codec.codebooks,
        "frame_rate": codec.frame_rate,
        "sample_rate": codec.sample_rate,
    }
    alone = set(manifest["clip_id"].iloc[choose_evenly(len(manifest), ALONE_CLIPS)])
    frames = dict.fromkeys(manifest["split"].unique(), 0)
    noise, finite = 0.0, 0
    with (
        LatentWriter(path, info) as writer,
        tqdm(desc="encode", total=len(manifest), unit="clip", disable=None) as bar,
    ):
        for group in _groups(manifest):
            clips = encode_group(codec, group, batch_seconds)
            writer.write(clips)
            for clip, clip_path in zip(clips, group["path"], strict=True):
                frames[clip.split] += len(clip.latent)
                finite += int(np.isfinite(clip.latent).sum())
                if clip.clip_id in alone:
                    with one_thread_each():  # as in a batch: the same on any number of cores
                        single = encode_batch(codec, [read_clip(Path(clip_path))])[0].latent
                    noise = max(noise, relative_difference(clip.latent, single))
            bar.update(len(clips))
    return {
        "clips": len(manifest),
        "frames": sum(frames.values()),
        "frames_by_split": frames,
        "dim": codec.dim,
        "codebooks": codec.codebooks,
        "finite_share": finite / (sum(frames.values()) * codec.dim),
        # Largest relative difference between clips in their batches and the same clips alone.
        "batch_noise_floor": noise,
    }


def encode_group(codec: Codec, group: pd.DataFrame, batch_seconds: float) -> list[EncodedClip]:
    """Encode the clips of `group` (rows of a manifest) in batches of like length, in its order.

    A batch runs on one thread and batches side by side: with both cores in one small batch, half
    of the time went into their waiting for each other.
    """
    clips: dict[int, EncodedClip] = {}
    batches = plan_batches(group["seconds"].to_numpy(), batch_seconds)

    def encode_rows(batch: np.ndarray) -> list[EncodedArrays]:
        return encode_batch(codec, [read_clip(Path(path)) for path in group["path"].iloc[batch]])

    with one_thread_each(), ThreadPoolExecutor(available_cores()) as pool:
        all_encoded = list(pool.map(encode_rows, batches))
    for batch, encoded in zip(batches, all_encoded, strict=True):
        rows = group.iloc[batch]
        for position, row, arrays in zip(batch, rows.itertuples(), encoded, strict=True):
            if not np.isfinite(arrays.latent).all():
                raise InputError(f"clip {row.clip_id}: latents are not finite")
            clips[position] = EncodedClip(row.clip_id, row.voice, row.split, *arrays)
    return [clips[position] for position in range(len(group))]


def plan_batches(seconds: np.ndarray, batch_seconds: float) -> list[np.ndarray]:
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


def frame_levels(audio: np.ndarray) -> np.ndarray:
    """Give the level (clips, frames) of each frame of `audio` (clips, frames * 1920) in dBFS."""
    frames = audio.reshape(len(audio), -1, FRAME_SIZE).astype(np.float64)
    power = np.square(frames).mean(-1)
    floor = 10 ** (SILENCE_DB / 10)
    return (10 * np.log10(np.maximum(power, floor))).astype(np.float32)


def read_clip(path: Path) -> np.ndarray:
    """Read a clip that the stage ingest wrote: float32 (samples,).

    Raises:
        InputError: it is not there, or not 24 kHz mono.
    """
    try:
        audio, rate = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"{path}: not readable; run the stage ingest") from error
    if rate != SAMPLE_RATE or audio.ndim != 1 or not audio.size:
        raise InputError(f"{path}: must be {SAMPLE_RATE} Hz mono; run the stage ingest")
    return audio


def relative_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Norm of the difference over the norm of `second`."""
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))


def choose_evenly(total: int, chosen: int) -> np.ndarray:
    """Give the indices of `chosen` of `total` things, evenly spaced; all, if there are fewer."""
    return np.unique(np.linspace(0, total - 1, chosen).astype(int))


def _groups(manifest: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for split in SPLITS:
        clips = manifest[manifest["split"] == split]
        for start in range(0, len(clips), CLIPS_PER_GROUP):
            yield clips.iloc[start : start + CLIPS_PER_GROUP]
