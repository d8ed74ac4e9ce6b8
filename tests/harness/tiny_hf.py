"""Small codecs of `transformers` with random weights, as folders that its own code wrote."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mimi_dynamics.codec.base import initialise
from mimi_dynamics.pipeline.params import CodecParams
from tests.harness.tiny_codec import HF, tiny_params

KINDS = ("mimi", "encodec", "dac", "xcodec")
RATIOS_24, RATIOS_16 = [8, 5, 4, 2], [2, 4, 5, 8]  # 75 Hz of 24 kHz, 50 Hz of 16 kHz


def why_no_hf() -> str:
    """Say why tests of `transformers` cannot run; '' if they can."""
    if importlib.util.find_spec("transformers") is None:
        return "transformers is not installed: pip install 'mimi-dynamics[hf]'"
    return ""


def hf_params(folder: Path | str, **settings: object) -> CodecParams:
    """Settings that name a folder."""
    changed = HF.model_copy(update=settings)
    return tiny_params().model_copy(update={"name": f"hf:{folder}", "hf": changed})


def write_hf(kind: str, folder: Path, **settings: object) -> Path:
    """Write a small codec of a kind, with some settings other than usual, and give its folder."""
    torch.manual_seed(1)
    model = MAKERS[kind](**settings)
    randomize(model)
    model.save_pretrained(folder)
    return folder


def randomize(model: nn.Module) -> None:
    """Let signals keep their size in all layers, and let no two codes be the same."""
    initialise(model)
    for name, tensor in model.state_dict().items():
        if name.endswith("weight.original0"):  # the size of what weight norm makes
            tensor.fill_(1.0)
        elif name.endswith(("embed", "embed_sum")):
            tensor.normal_()
        elif "res_unit" in name and name.endswith("conv2.weight"):
            tensor.mul_(0.25)  # or each unit of DAC would add as much as there is: 73 in the end


def make_mimi(**settings: object) -> Any:  # noqa: ANN401
    """A Mimi with a single layer that looks back three steps."""
    from transformers import MimiConfig, MimiModel

    usual = {
        "hidden_size": 32,
        "num_filters": 2,
        "codebook_size": 8,
        "codebook_dim": 16,
        "vector_quantization_hidden_dimension": 16,
        "num_quantizers": 3,
        "upsample_groups": 32,
        "num_hidden_layers": 1,
        "intermediate_size": 128,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "sliding_window": 4,
        "layer_scale_initial_scale": 0.5,
    }
    return MimiModel(MimiConfig(**usual | settings))


def make_encodec(**settings: object) -> Any:  # noqa: ANN401
    """An EnCodec of 24 kHz and 75 Hz, with the padding that mirrors."""
    from transformers import EncodecConfig, EncodecModel

    usual = {
        "hidden_size": 16,
        "num_filters": 2,
        "upsampling_ratios": RATIOS_24,
        "codebook_size": 8,
        "target_bandwidths": [0.7],
    }
    return EncodecModel(EncodecConfig(**usual | settings))


def make_dac(**settings: object) -> Any:  # noqa: ANN401
    """A DAC of 16 kHz and 50 Hz."""
    from transformers import DacModel

    return DacModel(_dac_config(n_codebooks=3, codebook_size=8, **settings))


def make_xcodec(**settings: object) -> Any:  # noqa: ANN401
    """An X-Codec of 16 kHz and 50 Hz, with a HuBERT of one layer."""
    from transformers import HubertConfig, XcodecConfig, XcodecModel

    hubert = HubertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    acoustic = _dac_config(hidden_size=16)
    usual = {"codebook_size": 8, "target_bandwidths": [0.5]}
    return XcodecModel(
        XcodecConfig(
            acoustic_model_config=acoustic, semantic_model_config=hubert, **usual | settings
        )
    )


def _dac_config(**settings: object) -> Any:  # noqa: ANN401
    from transformers import DacConfig

    usual = {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "downsampling_ratios": RATIOS_16}
    return DacConfig(**usual | settings)


MAKERS = {"mimi": make_mimi, "encodec": make_encodec, "dac": make_dac, "xcodec": make_xcodec}
