"""What is known of each frame of a clip besides its latent: its level, and whether it is silent."""

import numpy as np

from mimi_dynamics.codec.base import FRAME_SIZE

SILENCE_DB = -100.0  # Frames are never given a lower level than this.


def frame_levels(audio: np.ndarray) -> np.ndarray:
    """Measure the level (clips, frames) in dBFS of each frame of `audio` (clips, frames * 1920)."""
    frames = audio.reshape(len(audio), -1, FRAME_SIZE).astype(np.float64)
    power = np.square(frames).mean(-1)
    floor = 10 ** (SILENCE_DB / 10)
    return (10 * np.log10(np.maximum(power, floor))).astype(np.float32)


def gated_frames(intervals: np.ndarray, frames: int) -> np.ndarray:
    """Tell which frames overlap an interval of digital silence, even in part.

    Args:
        intervals: (2 × intervals,) the first sample of each and the first after it, in turns.
        frames: number of frames of the clip.

    Returns:
        (frames,) bool.
    """
    gated = np.zeros(frames, bool)
    for begin, end in intervals.reshape(-1, 2):
        gated[begin // FRAME_SIZE : -(-end // FRAME_SIZE)] = True
    return gated
