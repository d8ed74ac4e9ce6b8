"""The codec: speech to continuous latents and back, whichever Mimi stands behind it.

Both codecs are built by moshi's own `get_mimi`. `mimi` is Kyutai's checkpoint; `mimi-mini` is a
small Mimi that this repository trained (stage `codec`), and no substitute for its sound.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.utils import logging as hub_logging
from moshi.models.compression import MimiModel
from moshi.models.loaders import FRAME_RATE, SAMPLE_RATE, get_mimi
from moshi.modules.transformer import RingKVCache, StreamingMultiheadAttention
from safetensors import SafetensorError
from torch import nn

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CodecParams, MiniParams
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors

FRAME_SIZE = round(SAMPLE_RATE / FRAME_RATE)  # 1920 samples: 80 ms
MINI_WEIGHTS = Path("models/mimi-mini.safetensors")
MIMI_REPOSITORY = "kyutai/moshiko-pytorch-bf16"
MIMI_REVISION = "2bfc9ae6e89079a5cc7ed2a68436010d91a3d289"
MIMI_FILE = "tokenizer-e351c8d8-checkpoint125.safetensors"
# As several public projects pin it (384,644,900 bytes); nobody here has downloaded it to compare.
MIMI_SHA256 = "09b782f0629851a271227fb9d36db65c041790365f11bbe5d3d59369cf863f50"
TRANSFORMER_STEPS_PER_FRAME = 2  # SEANet runs at 25 Hz, latents at 12.5 Hz


class Codec:
    """A frozen Mimi in evaluation mode; gradients flow through it, never into it.

    Attributes:
        name: `mimi-mini` or `mimi`.
        weights_sha256: of the weights file.
        model: the moshi model.
        dim: size of a latent.
        codebooks: how many of them `quantize` fills.
    """

    sample_rate = SAMPLE_RATE
    frame_rate = FRAME_RATE
    frame_size = FRAME_SIZE

    def __init__(self, name: str, weights_sha256: str, model: MimiModel) -> None:
        """Take over `model`: evaluation mode, no gradients for its weights."""
        self.name = name
        self.weights_sha256 = weights_sha256
        self.model = model.eval().requires_grad_(False)
        self.dim: int = model.dimension
        self.codebooks: int = model.num_codebooks

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the pre-quantiser latents (batch, frames, dim) of `audio` (batch, samples).

        Audio is padded with zeros to whole frames: frames = ceil(samples / 1920). The model is
        causal, so what follows a frame, padding included, does not change it.
        """
        return self.model.encode_to_latent(audio[:, None], quantize=False).transpose(1, 2)

    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the codes (batch, frames, codebooks) of `latents` (batch, frames, dim)."""
        return self.model.quantizer.encode(latents.transpose(1, 2)).transpose(1, 2)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of unquantised `latents` (batch, frames, dim).

        The decoder never saw a latent itself: in the half of its training that went unquantised it
        saw the sum of what the two branches project it to (Moshi, arXiv 2410.00037, section 3.3).
        """
        embedding = latents.transpose(1, 2)
        quantizer = self.model.quantizer
        branches = (quantizer.rvq_first, quantizer.rvq_rest)
        return self._synthesize(sum(b.output_proj(b.input_proj(embedding)) for b in branches))

    def decode_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of `codes` (batch, frames, codebooks)."""
        return self._synthesize(self.model.decode_latent(codes.transpose(1, 2)))

    @contextmanager
    def streaming(self, batch: int, frames: int = 1) -> Iterator[None]:
        """Within it, `encode` and `decode` go on from call to call, `frames` at a time at most.

        moshi's key cache holds just the steps that a layer looks back, so that of the two steps of
        a frame the first misses its oldest: past the first 0.3 s of a tiny codec, latents were off
        by 1e-3, as Mimi's are past 10 s. Room for the frames at hand makes streaming exact.
        """
        with self.model.streaming(batch):
            for module in self.model.modules():
                if isinstance(module, StreamingMultiheadAttention):
                    cache = module._streaming_state.kv_cache
                    _, _, heads, capacity, size = cache.cache.shape
                    capacity += TRANSFORMER_STEPS_PER_FRAME * frames - 1
                    module._streaming_state.kv_cache = RingKVCache(
                        batch, heads, size, capacity, device=cache.cache.device, dtype=torch.float32
                    )
            yield

    def _synthesize(self, projected: torch.Tensor) -> torch.Tensor:
        (hidden,) = self.model.decoder_transformer(self.model.upsample(projected))
        return self.model.decoder(hidden)[:, 0]


def mini_config(params: MiniParams) -> dict[str, Any]:
    """Describe mimi-mini in the terms of moshi's `get_mimi`: Mimi's layout, smaller numbers.

    The transformers look back no further than a training segment reaches, so that no longer clip
    meets a distance they never saw. The two training-only settings of the quantiser are Mimi's:
    codebooks dropped at random, half of the sequences left unquantised.
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


def save_mini(model: MimiModel, params: MiniParams, path: Path = MINI_WEIGHTS) -> None:
    """Write the weights of a trained mimi-mini in half precision, with what they were made from."""
    weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
    write_tensors(path, weights, {"config": mini_config(params), "params": params.model_dump()})


def load_codec(params: CodecParams, mini_weights: Path = MINI_WEIGHTS) -> Codec:
    """Load the codec that `params` names.

    A local `codec.mimi.weights` may be anyone's checkpoint of Mimi's shape; what comes from the hub
    must be Kyutai's, to the bit.

    Raises:
        InputError: no weights to be had, or weights that are not what `params` says.
    """
    if params.name == "mimi-mini":
        _check_mini(params.mini, mini_weights)
        return _load(params.name, mini_weights, mini_config(params.mini), params.mini.codebooks)
    if params.mimi.weights:
        return _load(params.name, Path(params.mimi.weights), None, params.mimi.codebooks)
    return _load(params.name, _download_mimi(), None, params.mimi.codebooks)


def _load(name: str, path: Path, config: dict[str, Any] | None, codebooks: int) -> Codec:
    # moshi would unpickle, and so run, a file with any other ending.
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: codec weights must be a .safetensors file")
    try:
        sha256 = _sha256(path)
        model = get_mimi(path, config, num_codebooks=codebooks)
    except OSError as error:
        raise InputError(f"{path}: codec weights not readable: {error.strerror}") from error
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from error
    except RuntimeError as error:
        # What load_state_dict raises: a title, then one line per tensor that is wrong.
        problem = str(error).splitlines()[1].strip()
        raise InputError(f"{path}: does not fit {name}: {problem:.200}") from error
    return Codec(name, sha256, model)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_mini(params: MiniParams, path: Path) -> None:
    try:
        _, info = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: mimi-mini's weights: {error}") from error
    made_with = info.get("params", {})
    for key, value in params.model_dump().items():
        if made_with.get(key) != value:
            raise InputError(
                f"{path}: trained with codec.mini.{key} = {made_with.get(key)}, not {value}: "
                f"restore the setting, or train anew by `python src/codec.py`"
            )


def _download_mimi() -> Path:
    hub_logging.set_verbosity_error()  # a warning for every retry would bury the one line below
    try:
        path = Path(hf_hub_download(MIMI_REPOSITORY, MIMI_FILE, revision=MIMI_REVISION))
    except OSError as error:
        raise InputError(
            f"{MIMI_FILE}: not cached and not to be had from huggingface.co/{MIMI_REPOSITORY} "
            f"({type(error).__name__}); set codec.mimi.weights to a local copy"
        ) from error
    sha256 = _sha256(path)
    if sha256 != MIMI_SHA256:
        raise InputError(f"{path}: sha256 is {sha256}: must be {MIMI_SHA256}")
    return path


def untrained_codec(params: CodecParams, seed: int) -> Codec:
    """A codec of the shape that `params` names, with the weights that training starts from."""
    config, codebooks = None, params.mimi.codebooks
    if params.name == "mimi-mini":
        config, codebooks = mini_config(params.mini), params.mini.codebooks
    torch.manual_seed(seed)
    model = get_mimi(None, config, num_codebooks=codebooks)
    initialise(model)
    return Codec(f"untrained {params.name}", "", model)


def initialise(model: MimiModel) -> None:
    """Scale convolutions so that signals keep their size through 30 layers; torch's shrink them."""
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            weight = module.weight
            inputs = weight[0].numel()
            if isinstance(module, nn.ConvTranspose1d):
                inputs = weight.shape[0] // module.groups * weight.shape[2] // module.stride[0]
            nn.init.normal_(weight, std=inputs**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
