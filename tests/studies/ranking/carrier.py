"""A codec that can decode: its sound is noise bands whose loudness a latent sets."""

import torch

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE
from tests.studies.codec_row.fake_codec import EchoCodec


class CarrierCodec(EchoCodec):
    """Decodes each coordinate as the level of a tone, in nepers about −3."""

    def __init__(self, dim: int, weights_sha256: str = "weights") -> None:
        super().__init__(weights_sha256)
        self.dim = dim
        time = torch.arange(FRAME_SIZE) / SAMPLE_RATE
        frequencies = 200 * 2 ** (torch.arange(dim) * 6 / dim)
        self.tones = torch.sin(2 * torch.pi * frequencies[:, None] * time)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the sum of the tones, (batch, samples)."""
        loudness = (latents - 3).exp() / self.dim
        return (loudness @ self.tones).flatten(1)
