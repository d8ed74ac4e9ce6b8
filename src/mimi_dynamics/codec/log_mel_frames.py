"""Log-mel frames in the form of a codec: what they are, nobody trained. They have no way back.

A frame holds all log-mel values whose windows end within its 80 ms, so that it hears nothing of the
next frame, and of the one before no more than a window less a hop, 16 ms.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
from torch import nn
from torch.nn import functional

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE, Codec
from mimi_dynamics.codec.log_mel import COLUMNS, HOP, MEL_BANDS, WINDOW, mel_spectrum


class LogMelFrames(Codec):
    """Encodes each frame as 15 times of 40 bands, in nepers. It neither quantises nor decodes."""

    hears_back = (WINDOW - HOP) / SAMPLE_RATE
    can_stream = can_decode = False

    def __init__(self) -> None:
        super().__init__("log-mel", "", nn.Identity(), COLUMNS * MEL_BANDS[WINDOW], 0, 0)

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the log-mel frames (batch, frames, 600) of `audio` (batch, samples), float32."""
        frames = -(-audio.shape[1] // FRAME_SIZE)
        after = frames * FRAME_SIZE - audio.shape[1]
        spectrum = mel_spectrum(functional.pad(audio, (WINDOW - HOP, after)), WINDOW)
        # torch centres its windows, so the first two of them reach beyond the beginning.
        begin = WINDOW // 2 // HOP
        ended = spectrum[:, :, begin : begin + frames * COLUMNS].transpose(1, 2)
        return ended.reshape(len(audio), frames, self.dim)

    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give no codes: (batch, frames, 0)."""
        return torch.zeros(*latents.shape[:2], 0, dtype=torch.int64)

    def decode(self, latents: torch.Tensor) -> NoReturn:
        """Raise an error: there is no way back to audio."""
        raise NotImplementedError("log-mel frames have no decoder")

    def decode_codes(self, codes: torch.Tensor) -> NoReturn:
        """Raise an error: there is no way back to audio."""
        raise NotImplementedError("log-mel frames have no decoder")

    def encode_in(self, dtype: torch.dtype) -> None:
        """Compute as before: there is nothing to gain from another type of number."""

    @contextmanager
    def streaming(self, batch: int, frames: int = 1) -> Iterator[NoReturn]:
        """Raise an error: nothing goes on from one call to the next."""
        raise NotImplementedError("log-mel frames do not stream")
        yield
