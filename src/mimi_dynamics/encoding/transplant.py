"""Transplanted latents: what the encoder makes of each frame after audio from elsewhere.

The latent y_i of frame i is the last one of [a look-back of at most 2 s, from another clip of the
same voice and split] + [the audio of frame i, with a fade within its first 5 ms]. Neither of the
two shares a sample with x_{<i}, the latents of the frames before it. So by the data processing
inequality, whatever x_{<i} tells about y_i is carried by the speech, and not by an encoder that
hears the same audio twice. All frames of a clip have the same look-back, and what that alone tells
is the same after the y of the clip are shuffled.

A codec that streams hears the look-back once, and then goes on from there with every frame. For a
minute of audio in clips of 6 s, mimi-mini takes 1.4 s on one core (to encode it plainly 1.0 s); the
other way, in which the look-back is encoded anew before every frame, it takes 24 s.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
import torch
from moshi.modules.seanet import SEANetEncoder
from moshi.modules.streaming import State
from moshi.modules.transformer import RingKVCache
from torch import Tensor

from mimi_dynamics.codec.base import FRAME_SIZE, TRANSFORMER_STEPS_PER_FRAME, Codec, MimiCodec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.encoding.splice import fade_in, seed_of_clip
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.parallel import run_parallel

LOOK_BACK_FRAMES = 25  # 2 s
FRAMES_AT_ONCE = 128  # of audio in a forward pass, which bounds the memory
CLIPS_PER_JOB = 32


def choose_look_backs(manifest: pd.DataFrame, seed: int) -> dict[str, Path]:
    """Choose for each clip another one of the same voice and split, to take its look-back from.

    The clips of a voice and split form a ring in an order drawn at random, and each takes the next
    one that is not a copy of the same performance. So every clip is used about once, and a clip
    more or less in the manifest changes the choice of its neighbours only.

    Args:
        manifest: one row per clip: `clip_id`, `voice`, `split`, `performance`, `path`.
        seed: seed of the order.

    Returns:
        The path of the audio of the chosen clip, by `clip_id`. A clip that is alone with its copies
        is missing, since there is nothing to choose from; no frame of it can be a target.
    """
    chosen: dict[str, Path] = {}
    for _, clips in manifest.groupby(["voice", "split"], sort=False):
        ring = sorted(clips.itertuples(), key=lambda clip: seed_of_clip(seed, clip.clip_id))
        for place, clip in enumerate(ring):
            nexts = (ring[(place + step) % len(ring)] for step in range(1, len(ring)))
            other = next((of for of in nexts if of.performance != clip.performance), None)
            if other is not None:
                chosen[clip.clip_id] = Path(other.path)
    return chosen


def transplant_corpus(codec: Codec, manifest: pd.DataFrame, seed: int) -> dict[str, np.ndarray]:
    """Give the transplanted latents of all clips that have a look-back, made on all cores.

    Args:
        codec: the codec, which hears nothing of what follows a frame.
        manifest: one row per clip: `clip_id`, `voice`, `split`, `performance`, `path`.
        seed: see `choose_look_backs`.

    Returns:
        y as (frames, dim) float32 by `clip_id`.

    Raises:
        InputError: see `transplant_clips`.
    """
    look_backs = choose_look_backs(manifest, seed)
    parts = np.array_split(np.arange(len(manifest)), math.ceil(len(manifest) / CLIPS_PER_JOB))
    jobs = [partial(_transplant_part, codec, manifest.iloc[part], look_backs) for part in parts]
    found = run_parallel(jobs, "transplant")
    return {clip_id: latents for part in found for clip_id, latents in part.items()}


def _transplant_part(
    codec: Codec, clips: pd.DataFrame, look_backs: Mapping[str, Path]
) -> dict[str, np.ndarray]:
    return dict(transplant_clips(codec, clips, look_backs))


def transplant_clips(
    codec: Codec, clips: pd.DataFrame, look_backs: Mapping[str, Path]
) -> Iterator[tuple[str, np.ndarray]]:
    """Give the transplanted latents of all clips that have a look-back.

    What a clip gets depends on no other one, but for its look-back.

    Args:
        codec: the codec. Other threads may not use it at the same time.
        clips: one row per clip: `clip_id`, `path`.
        look_backs: see `choose_look_backs`.

    Yields:
        `clip_id`, and y as (frames, dim) float32, in the order of `clips`.

    Raises:
        InputError: a clip is missing or not 24 kHz mono, too short for a look-back, or latents are
            not finite.
    """
    for clip in clips.itertuples():
        if clip.clip_id not in look_backs:
            continue
        past = look_back(read_clip(look_backs[clip.clip_id]), needed_look_back(codec))
        if not len(past):
            path = look_backs[clip.clip_id]
            raise InputError(f"{path}: shorter than a frame of 80 ms; raise ingest.min_seconds")
        latents = transplant(codec, read_clip(Path(clip.path)), past)
        if not np.isfinite(latents).all():
            raise InputError(f"clip {clip.clip_id}: transplanted latents are not finite")
        yield clip.clip_id, latents


def needed_look_back(codec: Codec) -> int:
    """Give the number of frames of a look-back, which no frame has to hear more of than it can."""
    if codec.hears_back is None:
        return LOOK_BACK_FRAMES
    heard = math.ceil(codec.hears_back * codec.frame_rate)
    return max(1, min(heard, LOOK_BACK_FRAMES))


def look_back(audio: np.ndarray, most_frames: int = LOOK_BACK_FRAMES) -> np.ndarray:
    """Take the middle of a clip (samples,), where pauses are rare.

    Args:
        audio: (samples,) the clip.
        most_frames: length of the look-back if the clip is long enough.

    Returns:
        (frames × 1920,) in whole frames; there may be none.
    """
    samples = min(len(audio) // FRAME_SIZE, most_frames) * FRAME_SIZE
    begin = (len(audio) - samples) // 2
    return audio[begin : begin + samples]


def transplant(codec: Codec, audio: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Encode each frame of a clip as if it came after other audio.

    Args:
        codec: the codec.
        audio: (samples,) float32, the clip, which is padded with zeros to whole frames.
        past: (frames × 1920,) float32, the look-back, at least one frame.

    Returns:
        y as (frames, dim) float32, where frames = ceil(samples / 1920).
    """
    padded = np.pad(audio, (0, -len(audio) % FRAME_SIZE))
    frames = torch.from_numpy(fade_in(padded.reshape(-1, FRAME_SIZE), past))
    before = torch.from_numpy(past)[None]
    with torch.no_grad():
        if _streams(codec):
            return _streamed(codec, before, frames).numpy()
        return _whole(codec, before, frames).numpy()


def with_targets(
    sequences: Sequences,
    latents: Latents,
    normalizer: Normalizer,
    transplanted: Mapping[str, np.ndarray],
) -> Sequences:
    """Give what p(y_{t+1} | x_{≤t}) is fitted on and scored with.

    Args:
        sequences: the whitened latents, as `normalized_sequences` makes them of `latents`.
        latents: the latents as encoded.
        normalizer: what whitened them, and whitens the targets too.
        transplanted: y by `clip_id`; see `transplant_clips`.

    Returns:
        The sequences with y as targets. All frames of clips without y are gated, and their targets
        are zeros.

    Raises:
        InputError: a clip has another number of frames in `transplanted` than in `latents`.
    """
    targets, gated = torch.zeros_like(sequences.frames), torch.ones_like(sequences.gated)
    ends = np.cumsum(latents.lengths)
    for clip_id, end, length in zip(latents.clip_ids, ends, latents.lengths, strict=True):
        if clip_id not in transplanted:
            continue
        found, frames = transplanted[clip_id], slice(end - length, end)
        if len(found) != length:
            raise InputError(f"clip {clip_id}: {len(found)} transplanted latents, {length} frames")
        targets[frames] = torch.from_numpy(normalizer.normalize(found))
        gated[frames] = sequences.gated[frames]
    return replace(sequences, gated=gated, targets=targets)


def _streams(codec: Codec) -> TypeGuard[MimiCodec]:
    """Tell whether the codec has the state that `_streamed` repeats.

    moshi's codecs have, unless they were prepared for fast encoding, or compute in half precision.
    """
    return (
        isinstance(codec, MimiCodec)
        and isinstance(codec.model.encoder, SEANetEncoder)
        and codec.dtype == torch.float32
    )


def _streamed(codec: MimiCodec, past: Tensor, frames: Tensor) -> Tensor:
    """Encode `past` (1, samples), and go on from there with each of `frames` (frames, 1920)."""
    with codec.streaming(1, past.shape[1] // FRAME_SIZE + 1):
        codec.encode(past)
        after = codec.model.get_streaming_state()
        latents = []
        for part in frames.split(FRAMES_AT_ONCE):
            states = {name: _repeated(state, len(part)) for name, state in after.items()}
            codec.model.set_streaming_state(states)
            latents.append(codec.encode(part)[:, -1])
    return torch.cat(latents)


def _repeated(state: State, batch: int) -> State:
    """Copy the streaming state of one of moshi's modules, with its only row `batch` times.

    All that a state holds is in tensors with a row for each sound, in a cache of keys and values,
    or the same for all sounds. A deep copy would copy the weights to which some states refer.
    """
    repeated = copy.copy(state)
    repeated.batch_size = batch
    for name, value in vars(state).items():
        if isinstance(value, Tensor):
            setattr(repeated, name, _rows(value, batch))
        elif isinstance(value, RingKVCache):
            setattr(repeated, name, _repeated_cache(value, batch))
    return repeated


def _repeated_cache(cache: RingKVCache, batch: int) -> RingKVCache:
    """Copy a cache that has not been filled once, with room for the steps of one more frame."""
    repeated: Any = copy.copy(cache)
    repeated.capacity = int(cache.end_offset) + TRANSFORMER_STEPS_PER_FRAME
    repeated.cache = cache.cache[:, :, :, : repeated.capacity].repeat(1, batch, 1, 1, 1)
    repeated.end_offset = _rows(cache.end_offset, batch)
    return repeated


def _rows(tensor: Tensor, count: int) -> Tensor:
    """Repeat the only row of a tensor."""
    return tensor.repeat(count, *[1] * (tensor.ndim - 1))


def _whole(codec: Codec, past: Tensor, frames: Tensor) -> Tensor:
    """As `_streamed`, with `past` encoded anew before each of `frames`."""
    batch = max(1, FRAMES_AT_ONCE // (past.shape[1] // FRAME_SIZE + 1))
    return torch.cat(
        [
            codec.encode(torch.cat([past.expand(len(part), -1), part], 1))[:, -1]
            for part in frames.split(batch)
        ]
    )
