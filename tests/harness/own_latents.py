"""Latents of somebody's own, without audio, whose gain is known, on disk in several forms."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

VOICES = ("anna", "ben", "cleo")
KEPT = 0.8  # of a frame is in the next one
GAIN = -math.log(1 - KEPT**2) / 2  # nats per dimension, one frame ahead

Clips = Mapping[str, np.ndarray]


def planted(clips_per_voice: int = 20, frames: int = 120, dim: int = 8) -> dict[str, np.ndarray]:
    """Clips by name, `<voice>/<voice>-<number>`; each direction of them has the gain `GAIN`."""
    random = np.random.default_rng(0)
    return {
        f"{voice}/{voice}-{number:02}": one_clip(random, frames, dim)
        for voice in VOICES
        for number in range(clips_per_voice)
    }


def one_clip(random: np.random.Generator, frames: int, dim: int) -> np.ndarray:
    """A stationary clip, (frames, dim) float32, with a scale of its own in each coordinate."""
    noise = random.normal(size=(frames, dim))
    values = noise.copy()
    for time in range(1, frames):
        values[time] = KEPT * values[time - 1] + math.sqrt(1 - KEPT**2) * noise[time]
    return (values * np.linspace(1, 3, dim)).astype(np.float32)


def write_npz(path: Path, clips: Clips) -> Path:
    """An archive of all clips."""
    np.savez(path, **clips)
    return path


def write_store(folder: Path, clips: Clips, frame_rate: float = 12.5) -> Path:
    """A store as the training code of Pocket TTS writes it, which says who speaks."""
    store = folder / "latents" / "0123abcd"
    store.mkdir(parents=True)
    lines = []
    for name, clip in clips.items():
        voice, stem = name.split("/")
        save_file({"latents": torch.from_numpy(clip)}, store / f"{stem}.safetensors")
        file = f"latents/0123abcd/{stem}.safetensors"
        lines.append({"path": f"{stem}.wav", "speaker": voice, "latents_file": file})
    (folder / "own_latents.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    meta = {"frame_rate": frame_rate, "mimi_hash": "0123abcd"}
    (folder / "own_latents.meta.json").write_text(json.dumps(meta))
    return folder
