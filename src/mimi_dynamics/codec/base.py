"""What a codec is: a model that turns speech into continuous latents and back."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import moshi
import torch
from moshi.models.compression import MimiModel
from moshi.models.loaders import FRAME_RATE as FRAME_RATE
from moshi.models.loaders import SAMPLE_RATE as SAMPLE_RATE  # the rooms take both from here
from moshi.models.loaders import get_mimi
from moshi.modules.transformer import RingKVCache, StreamingMultiheadAttention
from moshi.quantization.vq import SplitResidualVectorQuantizer
from safetensors import SafetensorError
from torch import nn

from mimi_dynamics.pipeline.devices import device_at
from mimi_dynamics.pipeline.errors import InputError

# Clips are at `SAMPLE_RATE`, as is all audio that codecs take and give, whatever their own rate.
FRAME_SIZE = round(SAMPLE_RATE / FRAME_RATE)  # 1920 samples are 80 ms.
TRANSFORMER_STEPS_PER_FRAME = 2  # SEANet gives 25 steps per second, latents come at 12.5 Hz.


class Codec(ABC):
    """A frozen codec in evaluation mode. Its weights get no gradients.

    Attributes:
        name: that of the settings, after the word `untrained` if its weights are random.
        sample_rate: the rate at which it works, in Hz. It converts the audio it is given itself.
        frame_rate: number of latents per second.
        hears_back: seconds of sound before a frame's own that may change its latent; None if all.
        hears_ahead: the same of sound after the frame's own.
        decode_delay: by how many samples streamed sound is later than that of one `decode`.
        can_stream: whether there is `streaming`.
        can_decode: whether there are `decode` and, if it has codes, `decode_codes`.
        is_differentiable: whether gradients flow through `encode` and `decode`.
        runtime: what computes it, with its version; latents depend on it.
        weights_sha256: hash of the weights file, or '' if there is none.
        model: the module that holds all of its weights.
        dim: number of coordinates of a latent.
        codebooks: number of codes that `quantize` gives for each frame; 0 if there is no quantiser.
        bins: number of values that each code can have.
    """

    sample_rate: int = SAMPLE_RATE
    frame_rate: float = FRAME_RATE
    hears_back: float | None = None
    hears_ahead: float | None = 0.0
    decode_delay: int = 0
    can_stream: bool = True
    can_decode: bool = True
    is_differentiable: bool = True
    runtime: str = ""

    def __init__(
        self, name: str, weights_sha256: str, model: nn.Module, dim: int, codebooks: int, bins: int
    ) -> None:
        """Set `model` to evaluation mode, and switch off gradients for its weights."""
        self.name = name
        self.weights_sha256 = weights_sha256
        self.model = model.eval().requires_grad_(False)
        self.dim = dim
        self.codebooks = codebooks
        self.bins = bins

    @property
    def device(self) -> torch.device:
        """Where it computes, and where it must be given audio, latents and codes."""
        return device_at(self.model)

    @property
    def frame_size(self) -> int:
        """Number of samples of a clip, at 24 kHz, that become one latent."""
        return round(SAMPLE_RATE / self.frame_rate)

    @abstractmethod
    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the pre-quantiser latents (batch, frames, dim) of `audio` (batch, samples), float32.

        Audio is at 24 kHz, and padded with zeros to whole frames: frames = ceil(samples /
        frame_size). What follows a frame, padding included, does not change it.
        """

    @abstractmethod
    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the codes (batch, frames, codebooks) of `latents` (batch, frames, dim)."""

    @abstractmethod
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of unquantised `latents` (batch, frames, dim)."""

    @abstractmethod
    def decode_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of `codes` (batch, frames, codebooks)."""

    @abstractmethod
    def encode_in(self, dtype: torch.dtype) -> None:
        """Have `encode` compute in `dtype`; audio, latents and codes stay as they are."""

    @abstractmethod
    def streaming(self, batch: int, frames: int = 1) -> AbstractContextManager[None]:
        """Within it, `encode` and `decode` go on from call to call, `frames` at a time at most."""


class MimiCodec(Codec):
    """A codec whose model is moshi's, of whatever size."""

    model: MimiModel
    runtime = f"moshi {moshi.__version__}"

    def __init__(self, name: str, weights_sha256: str, model: MimiModel) -> None:
        """Set `model` to evaluation mode, and switch off gradients for its weights."""
        size = model.dimension, model.num_codebooks, model.quantizer.cardinality
        super().__init__(name, weights_sha256, model, *size)
        self.dtype = torch.float32
        parts = model.encoder, model.encoder_transformer, model.downsample
        self.hears_back = seconds_back(filter(None, parts), StreamingMultiheadAttention)

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the latents of `audio`; see `Codec.encode`. The model is causal."""
        audio = audio[:, None].to(self.dtype)
        return self.model.encode_to_latent(audio, quantize=False).transpose(1, 2).float()

    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the codes (batch, frames, codebooks) of `latents` (batch, frames, dim)."""
        return self.model.quantizer.encode(latents.transpose(1, 2)).transpose(1, 2)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of unquantised `latents` (batch, frames, dim).

        The decoder was never given a latent itself. In the half of its training that was not
        quantised, its input was the sum of the projections of the latent by the two branches of
        the quantiser (Moshi, arXiv 2410.00037, section 3.3). So this sum is decoded here too.
        """
        embedding = latents.transpose(1, 2)
        quantizer = cast("SplitResidualVectorQuantizer", self.model.quantizer)
        first, rest = (
            branch.output_proj(branch.input_proj(embedding))
            for branch in (quantizer.rvq_first, quantizer.rvq_rest)
        )
        return self._synthesize(first + rest)

    def decode_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of `codes` (batch, frames, codebooks)."""
        return self._synthesize(self.model.decode_latent(codes.transpose(1, 2)))

    def encode_in(self, dtype: torch.dtype) -> None:
        """Have `encode` compute in `dtype`; what quantises, and decodes, stays float32."""
        self.dtype = dtype
        for part in (self.model.encoder, self.model.encoder_transformer, self.model.downsample):
            if part is not None:
                part.to(dtype)

    @contextmanager
    def streaming(self, batch: int, frames: int = 1) -> Iterator[None]:
        """Make `encode` and `decode` continue from call to call inside the `with` block.

        moshi's key cache holds exactly as many steps as a layer looks back. A frame adds two steps
        at once, so the first of them misses its oldest step: latents were off by 1e-3 after the
        first 0.3 s of a tiny codec, and are after 10 s for Mimi. A cache with room for the new
        frames as well makes streaming exact.

        Args:
            batch: number of clips in each call.
            frames: largest number of frames in one call.
        """
        with self.model.streaming(batch):
            for module in self.model.modules():
                state = getattr(module, "_streaming_state", None)
                if isinstance(module, StreamingMultiheadAttention) and state is not None:
                    cache = state.kv_cache.cache
                    _, _, heads, capacity, size = cache.shape
                    capacity += TRANSFORMER_STEPS_PER_FRAME * frames - 1
                    state.kv_cache = RingKVCache(
                        batch, heads, size, capacity, device=cache.device, dtype=torch.float32
                    )
            yield

    def _synthesize(self, projected: torch.Tensor) -> torch.Tensor:
        hidden = self.model.upsample(projected)
        if self.model.decoder_transformer is not None:
            (hidden,) = self.model.decoder_transformer(hidden)
        return self.model.decoder(hidden)[:, 0]


def load_weights(name: str, path: Path, config: dict[str, Any] | None, codebooks: int) -> MimiCodec:
    """Load a codec from a safetensors file. moshi's own `get_mimi` builds the model.

    Args:
        name: name of the codec.
        path: file of its weights.
        config: shape of the model in the terms of `get_mimi`; None for a model of Mimi's size.
        codebooks: number of codes that `quantize` gives for each frame.

    Raises:
        InputError: the file is missing, is not a safetensors file, or does not fit the model.
    """
    # moshi would unpickle a file with any other ending, which could run code in it.
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: codec weights must be a .safetensors file")
    try:
        sha256 = sha256_of(path)
        model = get_mimi(path, config, num_codebooks=codebooks)
    except OSError as error:
        raise InputError(f"{path}: codec weights not readable: {error.strerror}") from error
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from error
    except RuntimeError as error:
        # The message of load_state_dict has a title and then one line per tensor that is wrong.
        problem = str(error).splitlines()[1].strip()
        raise InputError(f"{path}: does not fit {name}: {problem:.200}") from error
    return MimiCodec(name, sha256, model)


def seconds_back(parts: Iterable[nn.Module], attention: type[nn.Module]) -> float | None:
    """Add up how many seconds before its own samples each layer of an encoder looks at.

    Args:
        parts: the encoder in the order of its layers, of causal convolutions and attention.
        attention: class of its attention layers, whose `context` is how many steps they see.

    Returns:
        The seconds; None if a layer sees all there is.
    """
    seconds, step = 0.0, 1 / SAMPLE_RATE
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv1d):
                (size,), (stride,), (dilation,) = module.kernel_size, module.stride, module.dilation
                seconds += max(0, (size - 1) * dilation + 1 - stride) * step
                step *= stride
            elif isinstance(module, attention):
                if module.context is None:
                    return None
                seconds += (cast("int", module.context) - 1) * step
    return seconds


def first_weights(name: str, model: MimiModel) -> MimiCodec:
    """Give a codec of the shape of `name`, with weights as training starts from."""
    initialise(model)
    return MimiCodec(f"untrained {name}", "", model)


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file as a hexadecimal string."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def initialise(model: nn.Module) -> None:
    """Draw new weights for all convolutions, scaled so that signals keep their size.

    With torch's own initial weights, signals would shrink on their way through 30 layers.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            weight = module.weight
            inputs = weight[0].numel()
            if isinstance(module, nn.ConvTranspose1d):
                inputs = weight.shape[0] // module.groups * weight.shape[2] // module.stride[0]
            nn.init.normal_(weight, std=inputs**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
