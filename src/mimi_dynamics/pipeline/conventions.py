"""Words and numbers that several rooms share, so that each means the same everywhere."""

import numpy as np

TEST_VOICE = "test_voice"
SPLITS = ("train", "validation", "test", TEST_VOICE)
EVALUATED_SPLITS = ("test", TEST_VOICE)
FRAME_MS = 80
# Ways of decoding in stage `reconstruct`, and what a figure calls them.
WAYS = {
    "codec_unquantized": "codec latents, not quantised",
    "codec": "codec, from its codes",
    "log_mel_unquantized": "log-mel components, not quantised",
    "log_mel": "log-mel codes, at the codec's bit rate",
    "opus": "Opus, 6 kbit a second",
}


def choose_evenly(total: int, chosen: int) -> np.ndarray:
    """Give the indices of `chosen` of `total` things, evenly spaced; all, if there are fewer."""
    return np.unique(np.linspace(0, total - 1, chosen).astype(int))
