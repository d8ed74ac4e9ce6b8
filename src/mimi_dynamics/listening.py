"""Continuations to listen to: from coordinates to WAV files and spectrograms."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from mimi_dynamics.codec import Codec
from mimi_dynamics.figures import save_figure
from mimi_dynamics.files import atomic_path
from mimi_dynamics.normalizer import Normalizer
from mimi_dynamics.rollout_figures import Listening, sounds_figure

Decoder = Callable[[torch.Tensor], np.ndarray]


def make_decoder(codec: Codec, normalizer: Normalizer) -> Decoder:
    """From (frames, dim) coordinates to (samples,) audio.

    Recordings pass through it too, so that all that differs in a continuation is what is predicted.
    """

    @torch.no_grad()
    def decode(coordinates: torch.Tensor) -> np.ndarray:
        latents = torch.from_numpy(normalizer.restore(coordinates.numpy()))
        return codec.decode(latents[None])[0].clamp(-1, 1).numpy()

    return decode


def write_sounds(clips: list[Listening], path: Path) -> None:
    """Every sound as a 16-bit WAV file, and the spectrograms of all, in the folder `path`."""
    with atomic_path(path) as folder:
        folder.mkdir()
        save_figure(sounds_figure(clips), folder / "spectrograms.png")
        for clip in clips:
            for sound, audio in clip.sounds.items():
                name = f"{clip.name.replace('/', '-')}.{sound.replace(' ', '-')}.wav"
                soundfile.write(folder / name, audio, Codec.sample_rate, subtype="PCM_16")
