"""Tell where the sound of a room stops for a moment, as it does between two recordings in one file.

An encoder that ends fills its last packet up with silence, and one that begins has heard silence
before. Where the packets of two recordings follow each other, there is a hole of some milliseconds,
far below the noise of the room, which is in all the pauses before it.
"""

import numpy as np

from mimi_dynamics.speech.samples import levels

BLOCK = 64  # samples of which a level is taken: 3 ms at 24 kHz
# Levels in dB of full scale are counted from the quietest to the loudest. What is quieter was
# digital silence, and there is no room then.
QUIETEST, LOUDEST = -100.0, 0.0
PAUSE_DB, PAUSE_BLOCKS = 5, 16  # So many blocks lie within so much of the quietest, or it is a dip.
SPEECH_DB = 35  # that the loudest is above it at least, or there was no pause yet
LEAST_BLOCKS = 200  # of a recording before a room is known: half a second at 24 kHz
HOLE_DB = 10  # that a hole is below the quietest of the room
BACK_DB = 3  # below the quietest at most, where the sound of a room is back
BACK_BLOCKS = 8  # at the start of the next packet, in one of which it is back
LONGEST = 3_072  # samples of the packets of a hole; what lasts longer is a pause of a quieter room
FEW = 8  # packets that are taken in at once before a room is known
SETTLING = 2_048  # samples at the start of a recording, in which the room fades in


class Holes:
    """Hears the packets of one track, in their order.

    Args:
        samples: so many at the start of a packet are of the time before, if it is a first one.
    """

    def __init__(self, samples: int) -> None:
        self._before = samples // BLOCK
        self.begin()

    def begin(self) -> None:
        """Forget all that was heard, since another recording has begun."""
        self._counts = np.zeros(int(LOUDEST - QUIETEST), int)  # of blocks, by their level in dB
        self._heard, self._within = 0, 0  # samples of the recording, and of a hole
        self._room: float | None = None

    def first_end(self, levels: np.ndarray, samples: int) -> int | None:
        """Give the first of some packets in which or just before which a hole ends, or None.

        Nothing is known of packets after it: go on from there, after `begin`.

        Args:
            levels: (packets, blocks) levels in dB of each packet, after those before it.
            samples: of each packet.
        """
        start = 0
        while start < len(levels):
            some = levels[start : start + (FEW if self._room is None else len(levels))]
            if self._passes(some, samples):
                start += len(some)
                continue
            for number, of in enumerate(some):
                if self._ends_before(of, samples):
                    return start + number
            start += len(some)
        return None

    def _passes(self, levels: np.ndarray, samples: int) -> bool:
        """Take in packets among which there is no hole, all at once; tell if they are such."""
        if self._heard < SETTLING or self._within:
            return False
        if self._room is not None and levels.min(initial=LOUDEST) < self._room - HOLE_DB:
            return False
        self._heard += len(levels) * samples
        self._note(levels)
        return True

    def _ends_before(self, levels: np.ndarray, samples: int) -> bool:
        """Tell whether a hole ends in a packet or just before it, by its (blocks,) levels."""
        self._heard += samples
        if not levels.size or self._heard <= SETTLING:
            return False
        if self._room is None:
            self._note(levels)
            return False
        back = levels > self._room - BACK_DB
        holes = np.flatnonzero(levels < self._room - HOLE_DB)
        if self._within and not holes.size and back[:BACK_BLOCKS].any():
            return True
        if not holes.size:
            self._within = 0
            self._note(levels)
        elif not back[holes[-1] :].any():  # It may go on, or end with the packet.
            self._within += samples
            if self._within > LONGEST:
                self._within = 0
                self._note(levels)
        else:
            self._within = 0
            return bool(holes[-1] < self._before)
        return False

    def _note(self, levels: np.ndarray) -> None:
        places = (levels.ravel() - QUIETEST).clip(0, self._counts.size - 1).astype(int)
        self._counts += np.bincount(places, minlength=self._counts.size)
        self._room = self._quietest()

    def _quietest(self) -> float | None:
        """Give the level of the quietest blocks so far, if they are of a pause and no dip."""
        found = np.flatnonzero(self._counts)
        if self._counts.sum() < LEAST_BLOCKS or found[0] == 0:
            return None
        in_pauses = self._counts[found[0] : found[0] + PAUSE_DB].sum()
        if in_pauses < PAUSE_BLOCKS or found[-1] - found[0] < SPEECH_DB:
            return None
        return QUIETEST + float(found[0])


def block_levels(sound: np.ndarray) -> np.ndarray:
    """Give the [..., blocks] levels of the loudest channel of [..., channels, samples], in dB."""
    whole = sound.shape[-1] // BLOCK * BLOCK
    blocks = sound[..., :whole].reshape(*sound.shape[:-1], whole // BLOCK, BLOCK)
    return levels(blocks.swapaxes(-3, -2))
