"""Mix the channels of a recording into one, without those that would spoil the sum."""

import numpy as np

# A channel this far below the loudest is a microphone that was off, or a track left empty. Averaged
# with the others, it would only make them quieter.
DEAD_DB = 40.0
# Below this correlation with the loudest channel, a channel cancels more of it than it adds: one of
# two wires was crossed. Channels of different microphones are near 0 or above.
OPPOSITE = -0.3
OFFSET = 0.01  # of full scale; a smaller constant offset is left as it is
# The mean of a shorter sound says nothing about an offset.
OFFSET_SECONDS = 0.05


def mix(channels: np.ndarray, rate: int) -> tuple[np.ndarray, list[str]]:
    """Average the channels that carry the sound, without their constant offsets.

    FFmpeg's own downmix would not do, since it has no rule for channels that the file does not
    name.

    Args:
        channels: finite float32 [channels, samples], where full scale is 1.
        rate: in Hz.

    Returns:
        float32 [samples], and what was done to it: `offset 0.150` was subtracted, `dead channel 2`
        or `inverted channel 2` was left out.
    """
    count, samples = channels.shape
    if samples < OFFSET_SECONDS * rate:
        return channels.mean(axis=0), []
    offsets = channels.mean(axis=1, dtype=np.float64)
    use, notes = _usable(channels, offsets) if count > 1 else ([0], [])
    mono = channels[0] if count == 1 else channels[use].mean(axis=0)
    offset = float(np.where(np.abs(offsets) > OFFSET, offsets, 0)[use].mean())
    if offset:
        mono = mono - np.float32(offset)
        notes.append(f"offset {offset:.3f}")
    return mono, notes


def _usable(channels: np.ndarray, offsets: np.ndarray) -> tuple[list[int], list[str]]:
    """Give the indices of the channels to average, and a note for each of the others."""
    centred = channels - offsets[:, None].astype(np.float32)
    covariance = centred @ centred.T
    power = np.diag(covariance)
    loudest = int(power.argmax())
    use, notes = [], []
    for index in range(len(channels)):
        if power[index] < power[loudest] * 10 ** (-DEAD_DB / 10):
            notes.append(f"dead channel {index + 1}")
        elif covariance[index, loudest] < OPPOSITE * np.sqrt(power[index] * power[loudest]):
            notes.append(f"inverted channel {index + 1}")
        else:
            use.append(index)
    return use, notes
