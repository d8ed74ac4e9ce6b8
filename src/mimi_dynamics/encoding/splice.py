"""Spliced audio: the frames of a clip in another order, with short fades where they now meet.

Splicing destroys what speech does beyond a block of frames, and keeps what an encoder makes of
neighbouring frames because it hears the same samples for both.

A fade reaches over the first 5 ms of the later frame, from the end of the earlier one played
backwards. So it needs no sample of any other frame, neither frame becomes longer or shorter, and
frame i of the spliced audio hears, within itself, frames `order[i]` and `order[i − 1]` alone.
"""

import hashlib

import numpy as np

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE

FADE_SAMPLES = SAMPLE_RATE * 5 // 1000


def seed_of_clip(seed: int, clip_id: str) -> int:
    """Give a seed that depends on a clip, but on no other one, and on the seed of the run."""
    return int.from_bytes(hashlib.sha256(f"{seed} {clip_id}".encode()).digest()[:8])


def draw_order(samples: int, block_frames: int, seed: int) -> np.ndarray:
    """Permute the blocks of a clip.

    Args:
        samples: number of samples of the clip.
        block_frames: number of frames in a block. The last block may have fewer.
        seed: decides the order; see `seed_of_clip`.

    Returns:
        (frames,) int64, which frame of the clip comes at each place, where frames =
        ceil(samples / 1920). A last frame within which the clip ends stays where it is, so that
        all others are whole.
    """
    whole = samples // FRAME_SIZE
    blocks = np.split(np.arange(whole), range(block_frames, whole, block_frames))
    drawn = np.random.default_rng(seed).permutation(len(blocks))
    rest = np.arange(whole, -(-samples // FRAME_SIZE))
    return np.concatenate([*(blocks[block] for block in drawn), rest])


def splice(audio: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Put the frames of a clip into another order.

    Args:
        audio: (samples,) float32.
        order: see `draw_order`. There is no fade between frames that follow each other in `audio`.

    Returns:
        (samples,) float32.
    """
    pieces = [audio[frame * FRAME_SIZE : (frame + 1) * FRAME_SIZE] for frame in order]
    spliced = [
        piece if follows else fade_in(piece, before)
        for piece, before, follows in zip(pieces[1:], pieces[:-1], np.diff(order) == 1, strict=True)
    ]
    return np.concatenate([*pieces[:1], *spliced])


def splice_intervals(intervals: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Tell where the digital silence of a clip is after its frames were put into another order.

    Args:
        intervals: (2 × intervals,) int64, the first sample of each and the first after it, in
            turns, as in the manifest.
        order: see `draw_order`.

    Returns:
        (2 × intervals,) int64, at least one interval for each frame that has any. The start of a
        silent frame counts as silent where another sound now fades out in it.
    """
    place = np.argsort(order)
    moved = []
    for begin, end in intervals.reshape(-1, 2):
        for frame in range(begin // FRAME_SIZE, -(-end // FRAME_SIZE)):
            inside = np.clip((begin, end), frame * FRAME_SIZE, (frame + 1) * FRAME_SIZE)
            moved.append(inside + (place[frame] - frame) * FRAME_SIZE)
    return np.array(sorted(map(tuple, moved)), np.int64).reshape(-1)


def fade_in(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Fade over to a sound within its own first 5 ms, or in all of it if it is shorter.

    Args:
        after: (..., samples) float32, the sound to fade over to.
        before: (samples,) float32, at least 5 ms of what comes before it. Its end, played
            backwards, is what fades out.

    Returns:
        (..., samples) float32, as long as `after`.
    """
    faded = after.copy()
    length = min(FADE_SAMPLES, after.shape[-1])
    weight = ((np.arange(FADE_SAMPLES, dtype=np.float32) + 0.5) / FADE_SAMPLES)[:length]
    echo = before[: -FADE_SAMPLES - 1 : -1][:length]
    faded[..., :length] = weight * after[..., :length] + (1 - weight) * echo
    return faded
