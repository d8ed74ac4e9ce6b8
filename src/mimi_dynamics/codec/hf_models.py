"""The audio codecs of `transformers`, each with what it does before and after its quantiser.

A model of that library gives codes alone, and rounds what comes before them away. Here each of its
kinds is told by five steps between audio at its own rate, the embedding that goes into its
quantiser, codes, and the embedding that goes into its decoder.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class UnfitError(ValueError):
    """A model does something that no codec here does; the message says what."""


@dataclass(frozen=True)
class Reach:
    """How far from its own samples an encoder hears, in samples of its own rate.

    Attributes:
        back: before the first sample of a frame; None if there is no limit.
        ahead: after its last sample; None if there is no limit.
        lead: how much silence before a sound keeps the sound itself from being mirrored.
    """

    back: int | None
    ahead: int | None
    lead: int


class Kind:
    """A model of one kind. All embeddings are (batch, numbers, frames).

    Attributes:
        model: the model.
        rate: its sample rate in Hz.
        hop: number of its samples in a frame.
        dim: size of the embedding before the quantiser.
        codebooks: number of codebooks of the quantiser, the coarsest first.
        bins: number of vectors in each.
        reach: how far its encoder hears.
    """

    def __init__(self, model: Any, rate: int, hop: int, dim: int, codebooks: int) -> None:  # noqa: ANN401
        self.model, self.config = model, model.config
        self.rate, self.hop, self.dim, self.codebooks = rate, hop, dim, codebooks
        self.bins: int = self.config.codebook_size
        self.reach = self.measure()

    def measure(self) -> Reach:
        """Tell how far the encoder hears."""
        return reach_of(self.model.encoder)

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the embedding before the quantiser of `audio` (batch, frames · hop)."""
        return self.model.encoder(audio[:, None])

    def quantize(self, embedding: torch.Tensor) -> torch.Tensor:
        """Give the codes (batch, codebooks, frames) of an embedding before the quantiser."""
        return self.model.quantizer.encode(embedding).transpose(0, 1)

    def dequantize(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the embedding for the decoder of `codes` (batch, any codebooks, frames)."""
        return self.model.quantizer.decode(codes.transpose(0, 1))

    def unquantized(self, embedding: torch.Tensor) -> torch.Tensor:
        """Give the embedding for the decoder of one before the quantiser, without codes."""
        return embedding

    def synthesize(self, embedding: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of an embedding for the decoder."""
        return self.model.decoder(embedding)[:, 0]


class Mimi(Kind):
    """Kyutai's Mimi. Version 4.57 of the library lets it attend to all steps: here it may not.

    moshi's model, and later versions of this one, look back `sliding_window` steps, as in training.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        config = model.config
        hop = math.prod(config.upsampling_ratios) * (1 if model.downsample is None else 2)
        super().__init__(
            model, config.sampling_rate, hop, config.hidden_size, config.num_quantizers
        )

    def measure(self) -> Reach:
        """Tell how far the encoder hears."""
        model = self.model
        parts = (model.encoder, model.encoder_transformer, model.downsample)
        return reach_of(*(part for part in parts if part is not None))

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the embedding before the quantiser of `audio` (batch, frames · hop)."""
        steps = self._attend(self.model.encoder_transformer, self.model.encoder(audio[:, None]))
        return steps if self.model.downsample is None else self.model.downsample(steps)

    def dequantize(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the embedding for the decoder of `codes` (batch, any codebooks, frames)."""
        return self.model.quantizer.decode(codes)

    def unquantized(self, embedding: torch.Tensor) -> torch.Tensor:
        """Give what the decoder had in training instead of codes; see `MimiCodec.decode`."""
        quantizer = self.model.quantizer
        branches = (
            quantizer.semantic_residual_vector_quantizer,
            quantizer.acoustic_residual_vector_quantizer,
        )
        if branches[0].input_proj is None:
            return embedding * len(branches)
        return sum(branch.output_proj(branch.input_proj(embedding)) for branch in branches)

    def synthesize(self, embedding: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of an embedding for the decoder."""
        steps = embedding if self.model.upsample is None else self.model.upsample(embedding)
        return self.model.decoder(self._attend(self.model.decoder_transformer, steps))[:, 0]

    def _attend(self, transformer: Any, steps: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        count = steps.shape[-1]
        place = torch.arange(count, device=steps.device)
        back = place[:, None] - place
        seen = (back >= 0) & (back < (self.config.sliding_window or count))
        mask = seen.expand(len(steps), 1, count, count)
        given = steps.transpose(1, 2)
        return transformer(given, attention_mask=mask, use_cache=False)[0].transpose(1, 2)


class Encodec(Kind):
    """Meta's EnCodec of one channel, as published at 24 kHz."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        config = model.config
        if config.audio_channels != 1:
            raise UnfitError(f"takes {config.audio_channels} channels, and speech here has one")
        if config.normalize or config.chunk_length_s is not None:
            raise UnfitError("encodes sound in chunks, or scales them, and latents would jump")
        super().__init__(
            model,
            config.sampling_rate,
            config.hop_length,
            config.hidden_size,
            config.num_quantizers,
        )


class Dac(Kind):
    """Descript's DAC. It hears as far ahead as back, some tenth of a second."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        config = model.config
        super().__init__(
            model, config.sampling_rate, config.hop_length, config.hidden_size, config.n_codebooks
        )

    def quantize(self, embedding: torch.Tensor) -> torch.Tensor:
        """Give the codes (batch, codebooks, frames) of an embedding before the quantiser."""
        return self.model.quantizer(embedding)[1]

    def dequantize(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the embedding for the decoder of `codes` (batch, any codebooks, frames)."""
        return self.model.quantizer.from_codes(codes)[0]


class Xcodec(Kind):
    """X-Codec: a DAC beside a HuBERT or WavLM, every frame of which hears the whole clip."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        config = model.config
        super().__init__(
            model, config.sample_rate, config.hop_length, config.hidden_size, config.num_quantizers
        )

    def measure(self) -> Reach:
        """Tell that there is no limit."""
        return Reach(None, None, 0)

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the embedding before the quantiser of `audio` (batch, frames · hop)."""
        model, frames = self.model, audio.shape[1] // self.hop
        around = functional.pad(audio, (model.pad, model.pad))
        layers = model.semantic_model(around, output_hidden_states=True).hidden_states
        semantic = model.encoder_semantic(torch.stack(layers).mean(0).transpose(1, 2))
        acoustic = model.acoustic_encoder(audio[:, None])
        if acoustic.shape[-1] != semantic.shape[-1]:
            acoustic = model.acoustic_encoder(around[:, None])
        both = torch.cat([acoustic, semantic], 1).transpose(1, 2)
        return model.fc(both).transpose(1, 2)[..., :frames]

    def synthesize(self, embedding: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of an embedding for the decoder."""
        given = self.model.fc2(embedding.transpose(1, 2)).transpose(1, 2)
        return self.model.acoustic_decoder(given)[:, 0]


def reach_of(*parts: nn.Module) -> Reach:
    """Add up how far from a frame's own samples the layers of an encoder hear.

    All layers follow each other, or lie beside a path that hears no further. Convolutions that
    mirror what is at the beginning hear ahead there; see `Reach.lead`.

    Args:
        parts: the encoder, in the order in which sound passes through.
    """
    modules = [module for part in parts for module in part.modules()]
    wrappers = {id(m.conv): m for m in modules if isinstance(getattr(m, "conv", None), nn.Conv1d)}
    back = ahead = seen = 0
    step, endless_back, endless_ahead, mirrors = 1, False, False, False
    for module in modules:
        if isinstance(module, nn.Conv1d):
            wrapper = wrappers.get(id(module))
            (size,), (stride,), (dilation,) = module.kernel_size, module.stride, module.dilation
            beyond = (size - 1) * dilation + 1 - stride  # by how much it hears more than its own
            left = int(module.padding[0]) if wrapper is None else beyond
            if wrapper is not None and not wrapper.causal:
                left = beyond - beyond // 2
            mirrors |= wrapper is not None and wrapper.pad_mode == "reflect"
            back, ahead = back + left * step, ahead + (beyond - left) * step
            step *= stride
        elif isinstance(module, nn.LSTM):
            endless_back = True
        elif isinstance(module, nn.GroupNorm):  # over all times
            endless_back = endless_ahead = True
        elif hasattr(module, "sliding_window"):
            window: int | None = getattr(module, "sliding_window", None)
            endless_back |= window is None
            seen += ((window or 1) - 1) * step
    lead = 2 * (max(0, back) + max(0, ahead)) if mirrors else 0
    return Reach(
        None if endless_back else max(0, back + seen),
        None if endless_ahead else max(0, ahead),
        lead,
    )


KINDS: dict[str, tuple[str, Callable[[Any], Kind]]] = {
    "mimi": ("MimiModel", Mimi),
    "encodec": ("EncodecModel", Encodec),
    "dac": ("DacModel", Dac),
    "xcodec": ("XcodecModel", Xcodec),
}
