"""The codec `mimi-mini`: a small Mimi trained in this repository, with a lower sound quality."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from moshi.models.compression import MimiModel
from moshi.models.loaders import FRAME_RATE, SAMPLE_RATE, get_mimi
from safetensors import SafetensorError

from mimi_dynamics.codec.base import TRANSFORMER_STEPS_PER_FRAME, Codec, first_weights, load_weights
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CodecParams, MiniParams
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors

MINI_WEIGHTS = Path("models/mimi-mini.safetensors")


def load(params: CodecParams, weights: Path = MINI_WEIGHTS) -> Codec:
    """Load the weights that stage `codec` wrote.

    Raises:
        InputError: the weights are missing, or were trained with settings other than `params`.
    """
    _check_mini(params.mini, weights)
    return load_weights("mimi-mini", weights, mini_config(params.mini), params.mini.codebooks)


def untrained(params: CodecParams) -> Codec:
    """Build a codec of mimi-mini's shape with the weights that training starts from."""
    model = get_mimi(None, mini_config(params.mini), num_codebooks=params.mini.codebooks)
    return first_weights("mimi-mini", model)


def mini_config(params: MiniParams) -> dict[str, Any]:
    """Describe mimi-mini in the terms of moshi's `get_mimi`: Mimi's layout with smaller numbers.

    The transformers look back no further than the length of a training segment, so that longer
    clips contain no distance that they have not seen. The quantiser has the two settings that Mimi
    uses in training only: it drops codebooks at random, and leaves half of the sequences
    unquantised.
    """
    seanet = {
        "channels": 1,
        "dimension": params.dim,
        "causal": True,
        "n_filters": params.filters,
        "n_residual_layers": 1,
        "activation": "ELU",
        "compress": 2,
        "dilation_base": 2,
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 3,
        "norm": "none",
        "pad_mode": "constant",
        "ratios": [8, 6, 5, 4],
        "true_skip": True,
    }
    transformer = {
        "d_model": params.dim,
        "num_heads": params.dim // 32,
        "num_layers": params.layers,
        "causal": True,
        "layer_scale": 0.01,
        "context": TRANSFORMER_STEPS_PER_FRAME * params.clip_frames,
        "conv_layout": True,
        "max_period": 10000,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
        "dim_feedforward": 4 * params.dim,
        "input_dimension": params.dim,
        "output_dimensions": [params.dim],
    }
    quantizer = {
        "dimension": params.dim // 2,
        "n_q": params.codebooks,
        "bins": params.bins,
        "input_dimension": params.dim,
        "output_dimension": params.dim,
        "q_dropout": True,
        "no_quantization_rate": 0.5,
    }
    return {
        "sample_rate": SAMPLE_RATE,
        "channels": 1,
        "frame_rate": FRAME_RATE,
        "seanet": seanet,
        "transformer": transformer,
        "quantizer": quantizer,
    }


def build_mini(params: MiniParams) -> MimiModel:
    """Build an untrained mimi-mini, in evaluation mode."""
    return get_mimi(None, mini_config(params), num_codebooks=params.codebooks)


def save_mini(
    weights: Mapping[str, torch.Tensor],
    params: MiniParams,
    chain: Sequence[Mapping[str, str]],
    path: Path = MINI_WEIGHTS,
) -> None:
    """Write the weights of a trained mimi-mini in half precision, with how they came about.

    Args:
        weights: the state of the model, by name.
        params: the shape of the model and its legs so far.
        chain: of each of these legs the hashes of the weights at its `start` and `end`, as
            `sha256_of_tensors` gives them. A leg starts from the very file that the one before it
            wrote, so each start is the end before.
        path: the file to write.
    """
    info = {"config": mini_config(params), "params": params.model_dump(), "chain": list(chain)}
    write_tensors(path, halves(weights), info)


def halves(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round weights to what a file of them holds."""
    return {name: tensor.detach().cpu().half() for name, tensor in weights.items()}


def read_mini(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a file that `save_mini` wrote, and give its weights by name and what it says of them.

    Raises:
        InputError: the file is missing, or is not a safetensors file.
    """
    try:
        return read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: mimi-mini's weights: {error}") from error


def _check_mini(params: MiniParams, path: Path) -> None:
    made_with = read_mini(path)[1].get("params", {})
    for key, value in params.model_dump().items():
        if made_with.get(key) != value:
            raise InputError(
                f"{path}: trained with codec.mini.{key} = {made_with.get(key)}, not {value}: "
                f"restore the setting, or train by `python src/codec.py`"
            )
