"""What is known of each frame of a clip besides its latent: its level, and whether it counts."""

import numpy as np

from mimi_dynamics.codec.base import FRAME_SIZE

SILENCE_DB = -100.0  # Frames are never given a lower level than this.

# A gate fades out before it is shut, and the encoder remembers it after it has opened. Noise behind
# gates of 0.2 s kept a dynamic gain of 0.100 nats per dimension when only the frames that a gate
# overlaps were left out, 0.032 with one more on either side, and 0.006 with these; gates of 0.5 s
# with fades of 0.2 s 0.240, 0.048 and 0.010 (`benchmarks/gates.py`).
# They are of 80 ms; of shorter frames there are as many as cover the same time.
FRAMES_BEFORE = 1
FRAMES_AFTER = 2


def frame_levels(audio: np.ndarray, frame_size: int = FRAME_SIZE) -> np.ndarray:
    """Measure the level of each frame.

    Args:
        audio: (clips, frames * frame_size) float32.
        frame_size: number of samples in a frame.

    Returns:
        (clips, frames) float32 in dBFS.
    """
    frames = audio.reshape(len(audio), -1, frame_size).astype(np.float64)
    power = np.square(frames).mean(-1)
    floor = 10 ** (SILENCE_DB / 10)
    return (10 * np.log10(np.maximum(power, floor))).astype(np.float32)


def gated_frames(intervals: np.ndarray, samples: int, frame_size: int = FRAME_SIZE) -> np.ndarray:
    """Tell which frames of a clip are context, but never a target and part of no score.

    These are the silent ones, and the last one if the clip ends within it: the codec pads it with
    zeros, which are no speech. Its neighbours count, for no frame depends on what follows it.

    Args:
        intervals: see `silent_frames`.
        samples: number of samples of the clip.
        frame_size: number of samples in a frame.

    Returns:
        (frames,) bool, where frames = ceil(samples / frame_size).
    """
    gated = silent_frames(intervals, -(-samples // frame_size), frame_size=frame_size)
    gated[samples // frame_size :] = True
    return gated


def silent_frames(
    intervals: np.ndarray,
    frames: int,
    before: int = FRAMES_BEFORE,
    after: int = FRAMES_AFTER,
    frame_size: int = FRAME_SIZE,
) -> np.ndarray:
    """Tell which frames overlap an interval of digital silence, even in part, or are beside one.

    Args:
        intervals: (2 × intervals,) the first sample of each and the first after it, in turns.
        frames: number of frames of the clip.
        before: number of frames of 80 ms before those that overlap which are beside them.
        after: number of frames of 80 ms after them.
        frame_size: number of samples in a frame.

    Returns:
        (frames,) bool.
    """
    gated = np.zeros(frames, bool)
    before, after = (-(-count * FRAME_SIZE // frame_size) for count in (before, after))
    for begin, end in intervals.reshape(-1, 2):
        first, last = begin // frame_size - before, (end - 1) // frame_size + after
        gated[max(first, 0) : last + 1] = True
    return gated
