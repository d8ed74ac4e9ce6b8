"""The codecs `hf:<repository or folder>`: what `transformers` reads as an audio codec.

What is read is in `hf_files`, and what each kind of model computes in `hf_models`. Here any of them
becomes a codec for clips at 24 kHz, of which `codec.hf.frames_per_step` frames in a row make one
latent.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import torch
from torch.nn import functional

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE, Codec
from mimi_dynamics.codec.hf_files import CONFIG, FILES, folder_of, hash_of, read_model
from mimi_dynamics.codec.hf_models import Kind, UnfitError
from mimi_dynamics.codec.resampling import Resampler
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CodecParams, HfParams


class HfCodec(Codec):
    """A model of `transformers`. It does not stream."""

    can_stream = False

    def __init__(self, name: str, weights_sha256: str, kind: Kind, params: HfParams) -> None:
        """Take a model of some kind, and how many of its frames and codebooks to use."""
        self.kind = kind
        self.periods = _periods(kind, params.frames_per_step)
        self.stages = params.codebooks or kind.codebooks
        if self.stages > kind.codebooks:
            raise UnfitError(f"has {kind.codebooks} codebooks: codec.hf.codebooks must not be more")
        sizes = self.periods * kind.dim, self.periods * self.stages, kind.bins
        super().__init__(name, weights_sha256, kind.model, *sizes)
        self.sample_rate = kind.rate
        self.frame_rate = kind.rate / kind.hop / self.periods
        self.is_differentiable = kind.rate == SAMPLE_RATE
        config = sha256(kind.config.to_json_string().encode()).hexdigest()
        self.runtime = f"transformers {version('transformers')} {config:.12}"
        self._down = self._up = None
        late = 0
        if kind.rate != SAMPLE_RATE:
            self._down = Resampler(SAMPLE_RATE, kind.rate)
            self._up = Resampler(kind.rate, SAMPLE_RATE)
            late = self._down.delay * SAMPLE_RATE // kind.rate
        self._late = late + (0 if self._up is None else self._up.delay)
        back, ahead = kind.reach.back, kind.reach.ahead
        # What is late by some time depends on what was twice as long ago.
        self.hears_back = None if back is None else back / kind.rate + 2 * late / SAMPLE_RATE
        self.hears_ahead = None if ahead is None else ahead / kind.rate

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the latents of `audio`; see `Codec.encode`.

        Silence comes after a sound, as far as its frames hear, so that it is the same alone and
        padded. It also comes before it if the model mirrors what is at the beginning: without it
        the first frames would hear those that follow. A codec that hears all there is hears what
        it is given and nothing else, so padding changes its latents.
        """
        hop = self.kind.hop * self.periods
        frames = -(-audio.shape[1] // self.frame_size)
        lead = -(-self.kind.reach.lead // hop)
        tail = -(-(self.kind.reach.ahead or 0) // hop)
        end = (frames + tail) * self.frame_size - audio.shape[1]
        padded = functional.pad(audio, (lead * self.frame_size, end))
        embedding = self.kind.encode(_converted(padded, self._down)).transpose(1, 2)
        latents = embedding.reshape(len(audio), lead + frames + tail, self.dim)
        return latents[:, lead : lead + frames].float()

    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the codes (batch, frames, codebooks) of `latents` (batch, frames, dim).

        They are those of the first of the model's frames from the coarsest to the finest, then of
        the next.
        """
        codes = self.kind.quantize(self._embedding(latents))[:, : self.stages]
        return codes.transpose(1, 2).reshape(*latents.shape[:2], self.codebooks)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of unquantised `latents` (batch, frames, dim)."""
        return self._sound(self.kind.unquantized(self._embedding(latents)))

    def decode_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of `codes` (batch, frames, codebooks)."""
        own = codes.reshape(len(codes), -1, self.stages).transpose(1, 2)
        return self._sound(self.kind.dequantize(own))

    def encode_in(self, dtype: torch.dtype) -> None:
        """Refuse any number format but the one that is tested.

        Raises:
            InputError: `dtype` is not float32.
        """
        if dtype != torch.float32:
            raise InputError(f"encode.dtype: must be float32 for codec.name = {self.name!r}")

    @contextmanager
    def streaming(self, batch: int, frames: int = 1) -> Iterator[NoReturn]:
        """Raise an error: nothing goes on from one call to the next."""
        raise NotImplementedError("codecs of transformers do not stream")
        yield

    def _embedding(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the model's embedding (batch, its dim, its frames) of latents."""
        return latents.reshape(len(latents), -1, self.kind.dim).transpose(1, 2)

    def _sound(self, embedding: torch.Tensor) -> torch.Tensor:
        """Give the audio at the rate of clips of an embedding for the decoder.

        Both resamplers make it late, which is put right here; its last millisecond is silent then.
        """
        frames = embedding.shape[-1] // self.periods
        hop = self.kind.hop * self.periods
        sound = self.kind.synthesize(embedding)[:, : frames * hop]
        after = (frames + bool(self._late)) * hop - sound.shape[1]
        converted = _converted(functional.pad(sound, (0, after)), self._up)
        return converted[:, self._late :][:, : frames * self.frame_size]


def load(params: CodecParams) -> Codec:
    """Load the model that `codec.name` names, from a folder or the hub.

    Raises:
        InputError: `transformers` is not installed, there are no weights that can be read without
            running code, or the model is none that fits.
    """
    folder = folder_of(params, FILES)
    weights_sha256 = hash_of(folder)
    return _fitted(params.name, weights_sha256, folder, params.hf)


def untrained(params: CodecParams) -> Codec:
    """Build the model that `codec.name` names with random weights; its settings are enough.

    Raises:
        InputError: see `load`.
    """
    return _fitted(f"untrained {params.name}", "", folder_of(params, [CONFIG]), params.hf)


def _fitted(name: str, weights_sha256: str, folder: Path, params: HfParams) -> HfCodec:
    model = read_model(folder, with_weights=bool(weights_sha256))
    try:
        return HfCodec(name, weights_sha256, model, params)
    except UnfitError as error:
        raise InputError(f"{folder}: this codec {error}") from error


def _periods(kind: Kind, wanted: int) -> int:
    """Give how many frames of a model make a latent: those that are asked for, or 80 ms.

    Raises:
        UnfitError: they would have no whole number of samples at the rate of clips.
    """
    fewest = kind.rate // math.gcd(SAMPLE_RATE * kind.hop, kind.rate)
    told = f"gives {kind.rate / kind.hop:g} frames a second at {kind.rate} Hz"
    count = wanted or round(FRAME_SIZE * kind.rate / SAMPLE_RATE / kind.hop)
    if not wanted and count * kind.hop * SAMPLE_RATE != FRAME_SIZE * kind.rate:
        raise UnfitError(
            f"{told}, of which no whole number takes 80 ms: codec.hf.frames_per_step must be "
            f"{fewest} or a multiple of it, which takes {fewest * kind.hop / kind.rate:.3g} s"
        )
    if count % fewest:
        raise UnfitError(
            f"{told}: codec.hf.frames_per_step = {wanted} are no whole number of samples at "
            f"{SAMPLE_RATE} Hz; must be a multiple of {fewest}"
        )
    return count


def _converted(audio: torch.Tensor, resampler: Resampler | None) -> torch.Tensor:
    """Convert sounds (batch, samples), each from its beginning on; None leaves them as they are."""
    if resampler is None:
        return audio
    before = resampler.silence()
    sounds = [resampler.convert(sound, before) for sound in audio.detach().to(CPU).numpy()]
    return torch.stack([torch.from_numpy(sound) for sound in sounds]).to(audio.device)
