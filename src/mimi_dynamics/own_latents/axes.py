"""Whether latents look as if they were given as (dim, frames), as many codecs give them.

Neighbouring frames of latents are alike, and their columns have no order. If it is the columns next
to each other that are alike, and the frames are not, the axes are likely the wrong way round: what
then passes for a frame is one coordinate through time.
"""

import numpy as np

ALIKE = 0.2  # correlation of neighbouring columns from which a warning is given
# Values of log-mel frames are alike along both axes, so only columns that are far more alike count.
TIMES_FRAMES = 3.0


class Neighbours:
    """Correlations of values with those beside them, along both axes, over all pieces seen."""

    def __init__(self) -> None:
        self._squares = self._frames = self._columns = 0.0

    def see(self, values: np.ndarray) -> None:
        """Add a piece, (frames, dim), about the mean of each of its columns."""
        centred = values - values.mean(0)
        self._squares += _sum(centred, centred)
        self._frames += _sum(centred[1:], centred[:-1])
        self._columns += _sum(centred[:, 1:], centred[:, :-1])

    @property
    def correlations(self) -> tuple[float, float]:
        """Of neighbouring frames, and of neighbouring columns."""
        return self._frames / self._squares, self._columns / self._squares

    def warning(self) -> str | None:
        """Ask in a sentence whether the axes are the wrong way round; None if they look right."""
        if not self._squares:  # as of clips of one frame each
            return None
        frames, columns = self.correlations
        if columns < ALIKE or columns < TIMES_FRAMES * frames:
            return None
        return (
            f"Neighbouring columns are more alike (r = {columns:.2f}) than neighbouring frames "
            f"(r = {frames:.2f}): are these (frames, dim)? If not, transpose them."
        )


def _sum(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.einsum("ij,ij->", first, second, dtype=np.float64))
