"""Names and numbers that several packages share, so that each means the same everywhere."""

import numpy as np

TEST_VOICE = "test_voice"
SPLITS = ("train", "validation", "test", TEST_VOICE)
EVALUATED_SPLITS = ("test", TEST_VOICE)
FRAME_RATE = 12.5  # latents a second of Mimi; of others where nobody says it
# How many frames ahead stages predict that are not about lead times. It is no setting: they are
# compared with each other and bets rest on them, so `horizon`, which is of `predict`, moves none.
NEXT_FRAME = 1
READ = "read_"  # before the name of a row of the table by codec: the same on the second corpus
# Rows of the table by codec, each with what figures and pages call it.
CODEC_ROWS = {
    "codec": "the codec of this run",
    "untrained": "its shape, never trained",
    "log_mel": "log-mel frames",
    "lyra": "Lyra V2",
    "mimi": "Kyutai's Mimi",
    "pocket-tts": "Pocket TTS",
    "steps_400": "mimi-mini of 400 steps",
    "steps_1600": "mimi-mini of 1,600 steps",
    "leg_1": "mimi-mini after its first leg",
    "leg_2": "mimi-mini after its second leg",
    "read_codec": "the codec of this run, read speech",
    "read_lyra": "Lyra V2, read speech",
}
# The ways of decoding in stage `reconstruct`, each with its label in figures.
WAYS = {
    "codec_unquantized": "codec latents, not quantised",
    "codec": "codec, from its codes",
    "log_mel_unquantized": "log-mel components, not quantised",
    "log_mel": "log-mel codes, at the codec's bit rate",
    "opus": "Opus, 6 kbit a second",
}


def choose_evenly(total: int, chosen: int) -> np.ndarray:
    """Choose `chosen` evenly spaced ones of `total` things, or all if there are fewer.

    Returns:
        int64 indices, at most `chosen` of them, in rising order.
    """
    return np.unique(np.linspace(0, total - 1, chosen).astype(int))
