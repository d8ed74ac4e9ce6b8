"""A small autoencoder of the package `pocket-tts` with random weights."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from mimi_dynamics.codec import pocket_tts
from mimi_dynamics.pipeline.params import CodecParams, PocketParams
from tests.harness.tiny_codec import tiny_params

STEPS = 16  # of the transformer, 80 ms


def why_no_pocket_tts() -> str:
    """Say why tests of Pocket TTS cannot run; '' if they can."""
    if importlib.util.find_spec("pocket_tts") is None:
        return "pocket-tts is not installed: pip install 'mimi-dynamics[pocket-tts]'"
    return ""


def pocket_params(weights: Path | str, config: Path | str) -> CodecParams:
    """Settings that name weights, and what they are of."""
    named = PocketParams(weights=str(weights), config=str(config))
    return tiny_params().model_copy(update={"name": "pocket-tts", "pocket_tts": named})


def tiny_config() -> dict[str, Any]:
    """The package's settings of a model, with 8 numbers every 80 ms; each layer sees 80 ms."""
    from pocket_tts.utils.config import CONFIGS_DIR, load_config

    config: dict[str, Any] = load_config(CONFIGS_DIR / "english.yaml").model_dump(mode="json")
    mimi = config["mimi"]
    mimi["inner_dim"] = mimi["quantizer"]["dimension"] = 8
    mimi["outer_dim"] = mimi["quantizer"]["output_dimension"] = 32
    mimi["seanet"] |= {"dimension": 32, "n_filters": 2}
    mimi["transformer"] |= {
        "d_model": 32,
        "input_dimension": 32,
        "output_dimensions": [32],
        "num_heads": 2,
        "num_layers": 1,
        "context": STEPS,
        "dim_feedforward": 64,
    }
    return config


def write_pocket_tts(folder: Path) -> CodecParams:
    """Write a small model and its settings, as a bundle of its generator has them; name both."""
    config, weights = folder / "tiny.yaml", folder / "model.safetensors"
    config.write_text(json.dumps(tiny_config()))  # which is YAML too
    torch.manual_seed(1)
    codec = pocket_tts.untrained(pocket_params("", config))
    tensors = {f"mimi.{name}": tensor for name, tensor in codec.model.state_dict().items()}
    save_file(tensors | {"flow_lm.bos_emb": torch.zeros(8)}, weights)
    return pocket_params(weights, config)
