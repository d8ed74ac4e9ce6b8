"""Find where a long recording is best cut: in its quietest moment."""

import numpy as np

HOP_SECONDS = 0.020
PAUSE_SECONDS = 0.3  # Words are cut apart by less; between sentences, people pause for longer.


def quietest(channels: np.ndarray, rate: int) -> int:
    """Give the sample in the middle of the quietest 0.3 s.

    Args:
        channels: float32 [channels, samples], of 0.3 s or more to choose from. A constant offset
            makes no difference.
        rate: in Hz.

    Returns:
        The index of the sample; the middle, if there are fewer samples than a pause takes.
    """
    hop = max(1, round(HOP_SECONDS * rate))
    hops = channels.shape[1] // hop
    width = round(PAUSE_SECONDS / HOP_SECONDS)
    if hops <= width:
        return channels.shape[1] // 2
    levels = channels[:, : hops * hop].reshape(len(channels), hops, hop).var(axis=2).sum(axis=0)
    sums = np.convolve(levels, np.ones(width), mode="valid")
    # Of equally quiet moments the last one is taken, which makes clips as long as they may be.
    first = len(sums) - 1 - int(sums[::-1].argmin())
    return first * hop + width * hop // 2
