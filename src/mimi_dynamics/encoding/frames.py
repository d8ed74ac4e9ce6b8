"""What is known of each frame of a clip besides its latent: its level, and whether it counts."""

import numpy as np

from mimi_dynamics.codec.base import FRAME_SIZE

SILENCE_DB = -100.0  # Frames are never given a lower level than this.

# A gate fades out before it is shut, and the encoder remembers it after it has opened. Noise behind
# gates of 0.2 s kept a dynamic gain of 0.100 nats per dimension when only the frames that a gate
# overlaps were left out, 0.032 with one more on either side, and 0.006 with these; gates of 0.5 s
# with fades of 0.2 s 0.240, 0.048 and 0.010 (`benchmarks/gates.py`).
FRAMES_BEFORE = 1
FRAMES_AFTER = 2


def frame_levels(audio: np.ndarray) -> np.ndarray:
    """Measure the level (clips, frames) in dBFS of each frame of `audio` (clips, frames * 1920)."""
    frames = audio.reshape(len(audio), -1, FRAME_SIZE).astype(np.float64)
    power = np.square(frames).mean(-1)
    floor = 10 ** (SILENCE_DB / 10)
    return (10 * np.log10(np.maximum(power, floor))).astype(np.float32)


def gated_frames(intervals: np.ndarray, samples: int) -> np.ndarray:
    """Tell which frames of a clip are context, but never a target and part of no score.

    These are the silent ones, and the last one if the clip ends within it: the codec pads it with
    zeros, which are no speech. Its neighbours count, for no frame depends on what follows it.

    Args:
        intervals: see `silent_frames`.
        samples: number of samples of the clip.

    Returns:
        (frames,) bool, where frames = ceil(samples / 1920).
    """
    gated = silent_frames(intervals, -(-samples // FRAME_SIZE))
    gated[samples // FRAME_SIZE :] = True
    return gated


def silent_frames(
    intervals: np.ndarray, frames: int, before: int = FRAMES_BEFORE, after: int = FRAMES_AFTER
) -> np.ndarray:
    """Tell which frames overlap an interval of digital silence, even in part, or are beside one.

    Args:
        intervals: (2 × intervals,) the first sample of each and the first after it, in turns.
        frames: number of frames of the clip.
        before: number of frames before those that overlap which are beside them.
        after: number of frames after them.

    Returns:
        (frames,) bool.
    """
    gated = np.zeros(frames, bool)
    for begin, end in intervals.reshape(-1, 2):
        first, last = begin // FRAME_SIZE - before, (end - 1) // FRAME_SIZE + after
        gated[max(first, 0) : last + 1] = True
    return gated
