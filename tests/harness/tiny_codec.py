"""A codec of Mimi's layout small enough to build, train and run within a test."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import torch
from moshi.models.loaders import get_mimi
from safetensors.torch import save_file

from mimi_dynamics.codec import mimi_mini
from mimi_dynamics.codec.base import MimiCodec, initialise
from mimi_dynamics.codec.mimi_mini import save_mini
from mimi_dynamics.pipeline.params import (
    CodecParams,
    HfParams,
    LegParams,
    LyraParams,
    MimiParams,
    MiniParams,
    PocketParams,
)
from mimi_dynamics.studies.codec.training import CodecTraining

TINY_LEG = LegParams(seed=0, steps=8, batch_clips=3, lr=0.001, average=0.0)
TINY = MiniParams(
    corpora=["asterisk"],
    filters=2,
    dim=32,
    layers=1,
    codebooks=3,
    bins=8,
    clip_frames=4,
    legs=[TINY_LEG],
)


# A folder of Lyra's three files, which are in no repository that tests may download from.
LYRA_FOLDER = os.environ.get("MIMI_TEST_LYRA", "")
LYRA = LyraParams(weights=LYRA_FOLDER, stages=46, frames_per_step=4)
POCKET = PocketParams(weights="", config="english")
HF = HfParams(revision="main", codebooks=0, frames_per_step=0)


def why_no_lyra() -> str:
    """Say why tests of Lyra cannot run; '' if they can."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return "LiteRT is not installed: pip install 'mimi-dynamics[lyra]'"
    return "" if LYRA_FOLDER else "MIMI_TEST_LYRA names no folder of Lyra's files"


def tiny_params(mini: MiniParams = TINY) -> CodecParams:
    """Settings that name the tiny codec."""
    return CodecParams(
        name="mimi-mini",
        mimi=MimiParams(weights="", codebooks=8),
        lyra=LYRA,
        pocket_tts=POCKET,
        hf=HF,
        mini=mini,
    )


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Float32 audio (samples,) that changes its level as speech does."""
    generator = np.random.default_rng(seed)
    samples = round(seconds * 24000)
    level = 0.2 * np.sin(np.arange(samples) / 3000) ** 2
    return (level * generator.standard_normal(samples)).astype(np.float32)


def two_sounds() -> torch.Tensor:
    """(2, samples) of 12 frames."""
    return torch.from_numpy(np.stack([noise(0.96, seed) for seed in (1, 2)]))


def trained_tiny() -> CodecTraining:
    """Four steps in: all three codebooks are filled."""
    training = CodecTraining(TINY, TINY_LEG, (noise(20) * 32767).astype(np.int16))
    for _ in range(4):
        training.step()
    return training


def load_tiny(folder: Path) -> MimiCodec:
    """A tiny codec, by way of its file."""
    path = folder / "tiny.safetensors"
    save_mini(trained_tiny().weights(), TINY, [], path)
    return mimi_mini.load(tiny_params(), path)


def write_random_mimi(path: Path) -> None:
    """Write random weights in Mimi's own shape, 385 MB, that let signals keep their size."""
    torch.manual_seed(0)
    model = get_mimi(None)
    initialise(model)
    save_file(model.state_dict(), path)
