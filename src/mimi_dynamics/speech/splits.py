"""Decide which recordings are for training and which are held out.

The split of a recording depends only on its voice and its prompt. It does not depend on a seed, on
other recordings or on the order of files. So a codec that was once trained on the training split
has not seen a clip of any later test split, and two readings of the same sentence by one voice
always fall into the same split.
"""

from hashlib import sha256

from mimi_dynamics.pipeline.conventions import TEST_VOICE
from mimi_dynamics.pipeline.params import SplitParams


def assign_split(voice: str, prompt: str, shares: SplitParams, test_voices: list[str]) -> str:
    """Give the split of a recording, one of `SPLITS`.

    Args:
        voice: Who speaks. All recordings of the voices in `test_voices` are held out.
        prompt: The text that is spoken, or an id of it. Case and white space do not matter.
        shares: Expected share of each split among the recordings of all other voices.
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
    """Give a fixed number in [0, 1) for each voice and prompt, uniformly spread over prompts."""
    key = f"{voice}\n{' '.join(prompt.split()).casefold()}"
    return int.from_bytes(sha256(key.encode()).digest()[:6], "big") / 2**48
