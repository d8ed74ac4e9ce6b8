"""Which recordings are for training and which are held out.

A recording's split depends on its voice and its prompt alone: not on a seed, on other recordings
or on the order of files. So a codec that was trained on the training split once has seen no clip of
any later test split, and two readings of one sentence never lie on both sides.
"""

from hashlib import sha256

from mimi_dynamics.pipeline.conventions import TEST_VOICE
from mimi_dynamics.pipeline.params import SplitParams


def assign_split(voice: str, prompt: str, shares: SplitParams, test_voices: list[str]) -> str:
    """The split of a recording, one of `SPLITS`.

    Args:
        voice: Who speaks; those in `test_voices` are held out entirely.
        prompt: The text said, or an id of it. Case and white space do not count.
        shares: Expected shares of recordings of the other voices.
        test_voices: Voices of the split `test_voice`.
    """
    if voice in test_voices:
        return TEST_VOICE
    position = _position(voice, prompt)
    if position < shares.test:
        return "test"
    if position < shares.test + shares.validation:
        return "validation"
    return "train"


def _position(voice: str, prompt: str) -> float:
    """A fixed number in [0, 1) for each voice and prompt, uniform over prompts."""
    key = f"{voice}\n{' '.join(prompt.split()).casefold()}"
    return int.from_bytes(sha256(key.encode()).digest()[:6], "big") / 2**48
