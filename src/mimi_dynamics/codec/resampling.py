"""Change the rate of sound without hearing ahead, for codecs of another rate than that of clips."""

import math

import numpy as np
from scipy.signal import resample_poly


class Resampler:
    """Converts sound from one rate to another, all at once or in parts that follow each other.

    The filter is the symmetrical one of `resample_poly`, a Kaiser window with half of its power at
    half of the lower rate. The result is late by half of its length, so that none of it depends on
    sound that comes after it: from 24 to 16 kHz, and back, by 0.625 ms.

    Attributes:
        delay: how late the result is, in samples of the target's rate.
        reach: how many samples of the source before its own time a sample of the result depends on.
        sources: a part must have a multiple of this many samples.
    """

    def __init__(self, source: int, target: int) -> None:
        """Prepare to convert from the rate `source` to the rate `target`, both in Hz."""
        common = math.gcd(source, target)
        self._up, self.sources = target // common, source // common
        half = 10 * max(self._up, self.sources)  # what resample_poly has on either side
        steps = math.ceil(half / (self._up * self.sources))
        self.delay, self.reach = steps * self._up, 2 * steps * self.sources

    def silence(self) -> np.ndarray:
        """Give (reach,) zeros: what comes before the first part of a sound."""
        return np.zeros(self.reach, np.float32)

    def convert(self, audio: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Convert a part of a sound.

        Args:
            audio: (samples,) float32, a multiple of `sources`.
            before: (reach,) float32, the source just before it; see `silence`.

        Returns:
            (samples · target / source,) float32.
        """
        samples = len(audio) * self._up // self.sources
        whole = resample_poly(np.concatenate([before, audio]), self._up, self.sources)
        return whole[self.delay : self.delay + samples].astype(np.float32)
