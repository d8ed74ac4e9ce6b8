"""A few clips where stages look for latents, for tests of what scripts write."""

from pathlib import Path

import numpy as np
import pandas as pd

from mimi_dynamics.latents.normalizer import fit_normalizer
from mimi_dynamics.latents.store import (
    LATENT_KIND,
    EncodedClip,
    Latents,
    LatentWriter,
    read_latents,
)

SPLITS = ["train"] * 8 + ["validation"] * 2 + ["test"] * 4 + ["test_voice"] * 2


def write_latents(dim: int, frames: int) -> Latents:
    """Write data/manifest.parquet, data/latents/ and models/normalizer.safetensors.

    The latents change slowly: of white noise there would be no gain for a ratio to be of.

    Args:
        dim: coordinates that the normalizer keeps, half of those of the latents.
        frames: of each clip.
    """
    info = {
        "codec": "mimi-mini", "weights_sha256": "0" * 64, "latent_kind": LATENT_KIND,
        "dim": 2 * dim, "codebooks": 2, "frame_rate": 12.5, "sample_rate": 24_000,
    }  # fmt: skip
    random = np.random.default_rng(0)
    clips = [
        EncodedClip(
            clip_id=f"clip/{number}",
            voice="bob" if split == "test_voice" else "ann",
            split=split,
            latent=slow(random.standard_normal((frames, 2 * dim))).astype(np.float32),
            rms_db=random.uniform(-40, -10, frames).astype(np.float32),
            gated=np.zeros(frames, bool),
            codes=random.integers(0, 9, (frames, 2)).astype(np.int16),
        )
        for number, split in enumerate(SPLITS)
    ]
    with LatentWriter(Path("data/latents"), info) as writer:
        for split in dict.fromkeys(SPLITS):
            writer.write([clip for clip in clips if clip.split == split])
    latents = read_latents(Path("data/latents"))
    told = [(clip.clip_id, "0" * 64, clip.voice, clip.split) for clip in clips]
    manifest = pd.DataFrame(told, columns=["clip_id", "sha256", "voice", "split"])
    manifest.to_parquet("data/manifest.parquet")
    fit_normalizer(latents.values, dim).save(Path("models/normalizer.safetensors"))
    return latents


def slow(noise: np.ndarray) -> np.ndarray:
    """Each frame is 0.9 of the one before it and some of the (frames, dim) noise."""
    frames = [noise[0]]
    for innovation in noise[1:]:
        frames.append(0.9 * frames[-1] + 0.44 * innovation)
    return np.stack(frames)
