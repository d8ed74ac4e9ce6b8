"""Mimi by transformers is Mimi by moshi on the same weights, also beyond a layer's window."""

from pathlib import Path

import pytest
import torch
from moshi.models.compression import MimiModel
from moshi.models.loaders import get_mimi

from mimi_dynamics.codec.base import MimiCodec, initialise
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.codec.mimi_mini import mini_config
from tests.harness.tiny_codec import TINY, noise
from tests.harness.tiny_hf import hf_params, make_mimi, why_no_hf

pytestmark = pytest.mark.skipif(bool(why_no_hf()), reason=why_no_hf())

SHAPE = TINY.model_copy(update={"dim": 64, "layers": 2})  # two heads; a window of 8 steps, 0.32 s
HEADS = SHAPE.dim // 32
RENAMED = {
    "model.": "layers.",
    "conv.conv.conv.": "conv.",
    "convtr.convtr.convtr.": "conv.",
    "conv.conv.": "conv.",
    "convtr.convtr.": "conv.",
    "transformer.transformer.": "transformer.",
    "out_projs.0.": "o_proj.",
    "norm1.": "input_layernorm.",
    "norm2.": "post_attention_layernorm.",
    "linear1.": "mlp.fc1.",
    "linear2.": "mlp.fc2.",
    "layer_scale_1.": "self_attn_layer_scale.",
    "layer_scale_2.": "mlp_layer_scale.",
    "rvq_first.": "semantic_residual_vector_quantizer.",
    "rvq_rest.": "acoustic_residual_vector_quantizer.",
    "vq.layers.": "layers.",
    "_codebook.": "codebook.",
    "._initialized": ".initialized",
    "embedding_sum": "embed_sum",
}


def random_moshi() -> MimiModel:
    """A small Mimi of moshi in which every part matters."""
    torch.manual_seed(3)
    model = get_mimi(None, mini_config(SHAPE), num_codebooks=SHAPE.codebooks)
    initialise(model)
    for name, tensor in model.state_dict().items():
        if name.endswith("scale"):
            tensor.fill_(0.5)
        elif name.endswith(("embedding_sum", "in_projs.0.weight")):
            tensor.normal_(std=SHAPE.dim**-0.5 * 2)
        elif name.endswith("_initialized"):
            tensor.fill_(1.0)
    return model


def halves_apart(rows: torch.Tensor) -> torch.Tensor:
    """Reorder the rows of queries or keys, whose pairs moshi turns side by side."""
    pairs = rows.reshape(HEADS, -1, 2, rows.shape[-1])
    return pairs.transpose(1, 2).reshape(rows.shape)


def in_their_words(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give weights of moshi by the names that transformers has for them."""
    given = {}
    for old, tensor in tensors.items():
        name = old
        for ours, theirs in RENAMED.items():
            name = name.replace(ours, theirs)
        if "in_projs.0." in name:
            query, key, value = tensor.chunk(3)
            parts = {"q": halves_apart(query), "k": halves_apart(key), "v": value}
            for letter, part in parts.items():
                given[name.replace("in_projs.0.", f"{letter}_proj.")] = part.contiguous()
        else:
            given[name] = tensor
    return given


def write_theirs(model: MimiModel, folder: Path) -> None:
    """Write the same model as transformers would."""
    theirs = make_mimi(
        hidden_size=SHAPE.dim,
        upsample_groups=SHAPE.dim,
        codebook_dim=SHAPE.dim // 2,
        vector_quantization_hidden_dimension=SHAPE.dim // 2,
        num_hidden_layers=SHAPE.layers,
        intermediate_size=4 * SHAPE.dim,
        sliding_window=2 * SHAPE.clip_frames,
    )
    theirs.load_state_dict(in_their_words(model.state_dict()))
    theirs.save_pretrained(folder)


def test_mimi_is_mimi(tmp_path: Path) -> None:
    """Latents to 1e-5, and then codes and both ways back."""
    model = random_moshi()
    write_theirs(model, tmp_path)
    ours, theirs = MimiCodec("mimi", "", model), load_codec(hf_params(tmp_path))
    audio = torch.from_numpy(noise(2.0, seed=5))[None]
    latents = ours.encode(audio)
    assert latents.std() > 0.1
    torch.testing.assert_close(theirs.encode(audio), latents, rtol=0, atol=1e-5)
    codes = ours.quantize(latents)
    assert len(codes.unique()) > 4
    assert torch.equal(theirs.quantize(latents), codes)
    for found, expected in (
        (theirs.decode(latents), ours.decode(latents)),
        (theirs.decode_codes(codes), ours.decode_codes(codes)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert theirs.hears_back == pytest.approx(ours.hears_back)
    assert (theirs.frame_rate, theirs.dim) == (ours.frame_rate, ours.dim)
