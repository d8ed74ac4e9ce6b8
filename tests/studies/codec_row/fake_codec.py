"""Speech whose every frame carries a vector in its samples, and a codec that reads it there.

The vectors z are autoregressions, z_{t+1} = ρ z_t + noise, of unit variance. A latent is that of
its own frame and, by overlap, `ECHO` times that of the frame before: x_t = z_t + ECHO z_{t−1}.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from torch import nn

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE, Codec

DIM, RHO, ECHO = 3, 0.6, 0.7
BLOCKS = DIM + 1  # of a frame; the first is silent, and holds the fade of a splice
SCALE = 0.1


class EchoCodec(Codec):
    """Reads the vectors."""

    hears_back = FRAME_SIZE / SAMPLE_RATE
    can_decode = False

    def __init__(self, weights_sha256: str = "") -> None:
        super().__init__("echo", weights_sha256, nn.Identity(), DIM, 0, 0)

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give x (batch, frames, DIM) of `audio` (batch, samples) in whole frames."""
        blocks = audio.reshape(len(audio), -1, BLOCKS, FRAME_SIZE // BLOCKS)
        heard = blocks.mean(-1)[..., 1:] / SCALE
        before = torch.cat([torch.zeros_like(heard[:, :1]), heard[:, :-1]], 1)
        return heard + ECHO * before

    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give no codes."""
        return torch.zeros(*latents.shape[:2], 0, dtype=torch.int64)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Raise an error."""
        raise NotImplementedError

    def decode_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Raise an error."""
        raise NotImplementedError

    def encode_in(self, dtype: torch.dtype) -> None:
        """Stay as it is."""

    @contextmanager
    def streaming(self, batch: int, frames: int = 1) -> Iterator[None]:
        """Raise an error."""
        raise NotImplementedError
        yield


def write_speech(folder: Path, clips: dict[str, int], frames: int) -> pd.DataFrame:
    """Write clips of `frames` frames by two voices, as many of each split as asked for.

    Returns:
        Their manifest.
    """
    folder.mkdir(parents=True)
    random, rows = np.random.default_rng(0), []
    for split, count in clips.items():
        for number in range(count):
            state = np.zeros((frames, DIM))
            state[0] = random.standard_normal(DIM)
            for t in range(1, frames):
                noise = np.sqrt(1 - RHO**2) * random.standard_normal(DIM)
                state[t] = RHO * state[t - 1] + noise
            blocks = np.concatenate([np.zeros((frames, 1)), SCALE * state], 1)
            path = folder / f"{split}-{number}.flac"
            soundfile.write(path, np.repeat(blocks.ravel(), FRAME_SIZE // BLOCKS), SAMPLE_RATE)
            rows.append(
                {
                    "clip_id": path.stem,
                    "voice": "ann" if number % 2 else "ben",
                    "split": split,
                    "path": str(path),
                    "performance": path.stem,
                    "sha256": path.stem,
                    "seconds": frames * FRAME_SIZE / SAMPLE_RATE,
                    "gated": np.zeros(0, np.int64),
                }
            )
    return pd.DataFrame(rows)
