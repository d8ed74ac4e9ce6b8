"""The codec `lyra`: Google's Lyra V2, a SoundStream (arXiv 2107.03312), run as published by LiteRT.

It has 16 kHz, and 64 features every 20 ms, of which `codec.lyra.frames_per_step` in a row make one
latent. The last layer of the encoder computes with eight bits, so each feature before the quantiser
is a multiple of 0.2635, where features of speech have standard deviations from 3.1 to 9.3.

`reset_all_variables` of LiteRT leaves the states of these models as they are: after it, the first
0.44 s of a clip still depended on the clip before. So each clip has interpreters of its own, which
takes 3 ms. That also makes the codec safe in any thread.
"""

import importlib.util
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mimi_dynamics.codec.base import SAMPLE_RATE, Codec
from mimi_dynamics.codec.resampling import Resampler
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path
from mimi_dynamics.pipeline.params import CodecParams

COMMIT = "47698dadf0010abff6a848e02642f55f806d4842"
HOME = f"https://raw.githubusercontent.com/google/lyra/{COMMIT}/lyra/model_coeffs"
ENCODER, QUANTIZER, DECODER = "soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite"
SHA256 = {
    ENCODER: "237da0b16226fb0a68d49551c81bebf614e42142af72764448359f68581e88f1",
    QUANTIZER: "841ee05989687d32d1f616a8ad1419fc7eda37599d3c05c7cf5a0d60ccf8ac5c",
    DECODER: "50e7839cda4f30599a3a34cfaddcd9c98449b049eee884e1a74295780448ad06",
}
WEIGHTS_SHA256 = sha256("".join(SHA256.values()).encode()).hexdigest()
DOWNLOADS = Path("runs/downloads")  # ignored by git and DVC
TIMEOUT_SECONDS = 20.0
LYRA_RATE = 16_000
PERIOD = 320  # samples at its own rate: 20 ms
FEATURES = 64
STAGES, BINS = 46, 16  # of the residual quantiser; each stage adds one of 16 vectors
NO_CODE = -1  # what the quantiser takes for a stage that is left out
# How far back the encoder hears, in its own samples: strides times lengths of its layers' states.
ENCODER_REACH = (
    48 + 16 * (2 + 6 + 18 + 5) + 80 * (2 + 6 + 18 + 2) + 160 * (2 + 6 + 18 + 2) + 320 * 2
)
DOWN, UP = Resampler(SAMPLE_RATE, LYRA_RATE), Resampler(LYRA_RATE, SAMPLE_RATE)


class LyraCodec(Codec):
    """Lyra V2. It can be sent to any process; sounds that stream stay behind."""

    sample_rate = LYRA_RATE
    is_differentiable = False

    def __init__(
        self, weights_sha256: str, models: Mapping[str, bytes], params: CodecParams
    ) -> None:
        """Take the files' contents by name, and the numbers of stages and frames from `params`."""
        self.stages, self.periods = params.lyra.stages, params.lyra.frames_per_step
        sizes = self.periods * FEATURES, self.periods * self.stages, BINS
        super().__init__("lyra", weights_sha256, nn.Module(), *sizes)
        self.frame_rate = LYRA_RATE / PERIOD / self.periods
        self.decode_delay = UP.delay + DOWN.delay * SAMPLE_RATE // LYRA_RATE
        self.hears_back = (ENCODER_REACH + DOWN.delay * 2) / LYRA_RATE
        self.runtime = f"LiteRT {version('ai-edge-litert')}"
        self._models = dict(models)
        self._encoders: list[_Encoder] = []  # of sounds that stream
        self._decoders: list[_Decoder] = []

    def __getstate__(self) -> dict[str, Any]:
        """Give what makes the same codec elsewhere."""
        return self.__dict__ | {"_encoders": [], "_decoders": []}

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the latents of `audio`; see `Codec.encode`. There is no gradient."""
        sounds = audio.detach().numpy()
        sounds = np.pad(sounds, ((0, 0), (0, -sounds.shape[1] % self.frame_size)))
        encoders = self._encoders or [_Encoder(self._models[ENCODER]) for _ in sounds]
        latents = [encode(sound) for encode, sound in zip(encoders, sounds, strict=True)]
        return torch.from_numpy(np.stack(latents)).reshape(len(sounds), -1, self.dim)

    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the codes (batch, frames, codebooks) of `latents` (batch, frames, dim).

        They are those of the first 20 ms from the coarsest stage to the finest, then of the next.
        """
        run = _interpreter(self._models[QUANTIZER]).get_signature_runner("encode")
        count = np.array(self.stages, np.int32)
        features = latents.detach().numpy().astype(np.float32).reshape(-1, 1, 1, FEATURES)
        codes = [run(input_frames=of, num_quantizers=count)["output_0"].ravel() for of in features]
        used = np.array(codes, np.int64).reshape(-1, STAGES)[:, : self.stages]
        return torch.from_numpy(used.reshape(*latents.shape[:2], self.codebooks))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of unquantised `latents` (batch, frames, dim).

        Lyra itself decodes quantised features alone. The decoder takes others as well: the finest
        quantisation changes them by about 6 % of their variance.

        Both resamplers make the sound late. Unless it streams, it is put back in place, with the
        last 20 ms decoded twice to fill the gap at the end of 1.25 ms.
        """
        features = latents.detach().numpy().astype(np.float32)
        features = features.reshape(len(features), -1, FEATURES)
        if self._decoders:
            sounds = [run(of) for run, of in zip(self._decoders, features, strict=True)]
            return torch.from_numpy(np.stack(sounds))
        longer = np.concatenate([features, features[:, -1:]], 1)
        sounds = [_Decoder(self._models[DECODER])(of)[self.decode_delay :] for of in longer]
        return torch.from_numpy(np.stack(sounds)[:, : latents.shape[1] * self.frame_size])

    def decode_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of `codes` (batch, frames, codebooks)."""
        run = _interpreter(self._models[QUANTIZER]).get_signature_runner("decode")
        all_stages = np.full((codes.numel() // self.stages, STAGES, 1, 1), NO_CODE, np.int32)
        all_stages[:, : self.stages, 0, 0] = codes.reshape(-1, self.stages).numpy()
        features = [run(encoding_indices=of)["output_0"].ravel() for of in all_stages]
        return self.decode(torch.from_numpy(np.stack(features)).reshape(*codes.shape[:2], self.dim))

    def encode_in(self, dtype: torch.dtype) -> None:
        """Refuse any other number format than the models' own.

        Raises:
            InputError: `dtype` is not float32.
        """
        if dtype != torch.float32:
            raise InputError("encode.dtype: must be float32 for codec.name = 'lyra'")

    @contextmanager
    def streaming(self, batch: int, frames: int = 1) -> Iterator[None]:
        """Make `encode` and `decode` go on from call to call; see `Codec.streaming`."""
        self._encoders = [_Encoder(self._models[ENCODER]) for _ in range(batch)]
        self._decoders = [_Decoder(self._models[DECODER]) for _ in range(batch)]
        try:
            yield
        finally:
            self._encoders, self._decoders = [], []


class _Model:
    """One of the models with a state, from its first frame on."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = _interpreter(content)
        (given,) = self._interpreter.get_input_details()
        (got,) = self._interpreter.get_output_details()
        self._given, self._shape, self._got = given["index"], given["shape"], got["index"]

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Give (frames, numbers out) of `frames` (frames, numbers in), one after the other."""
        results = []
        for frame in frames:
            self._interpreter.set_tensor(self._given, frame.reshape(self._shape))
            self._interpreter.invoke()
            results.append(self._interpreter.get_tensor(self._got).ravel())
        return np.stack(results)


class _Encoder:
    """Encodes one sound, in parts that follow each other."""

    def __init__(self, content: bytes) -> None:
        self._model, self._before = _Model(content), DOWN.silence()

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Give the features (periods, 64) of `audio` (samples,) at the rate of clips."""
        own = DOWN.convert(audio, self._before)
        self._before = np.concatenate([self._before, audio])[-DOWN.reach :]
        return self._model(own.reshape(-1, PERIOD))


class _Decoder:
    """Decodes one sound, in parts that follow each other."""

    def __init__(self, content: bytes) -> None:
        self._model, self._before = _Model(content), UP.silence()

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Give the audio (samples,) at the rate of clips of `features` (periods, 64)."""
        own = self._model(features).ravel()
        audio = UP.convert(own, self._before)
        self._before = np.concatenate([self._before, own])[-UP.reach :]
        return audio


def load(params: CodecParams) -> Codec:
    """Load the files in the folder that `codec.lyra.weights` names, or download them.

    Raises:
        InputError: LiteRT is not installed, or a file is missing or not as Google published it.
    """
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise InputError(
            "codec.name = 'lyra': LiteRT is not installed; `pip install 'mimi-dynamics[lyra]'`"
        )
    folder = Path(params.lyra.weights).expanduser() if params.lyra.weights else None
    models = {name: _content(folder, name) for name in SHA256}
    return LyraCodec(WEIGHTS_SHA256, models, params)


def untrained(params: CodecParams) -> Codec:
    """Refuse: what is published is compiled together with its weights.

    Raises:
        InputError: always.
    """
    raise InputError(f"codec.name = {params.name!r}: has no untrained codec to compare with")


def _content(folder: Path | None, name: str) -> bytes:
    """Give a file's content from the folder, or else from an earlier download or a new one.

    Raises:
        InputError: it cannot be had, or has another hash. A download that has is not kept.
    """
    path = DOWNLOADS / f"lyra-{COMMIT[:8]}-{name}" if folder is None else folder / name
    is_new = folder is None and not path.exists()
    source = f"{HOME}/{name}" if is_new else str(path)
    try:
        if is_new:
            with urllib.request.urlopen(source, timeout=TIMEOUT_SECONDS) as response:
                content = response.read()
        else:
            content = path.read_bytes()
    except (OSError, ValueError, HTTPException) as error:
        raise InputError(
            f"{source}: not readable ({' '.join(str(error).split())}); "
            f"codec.lyra.weights may name a folder that holds {', '.join(SHA256)}"
        ) from error
    found = sha256(content).hexdigest()
    if found != SHA256[name]:
        raise InputError(f"{source}: sha256 is {found}: must be {SHA256[name]}")
    if is_new:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    return content


def _interpreter(content: bytes) -> Any:  # noqa: ANN401
    """Load a model into a LiteRT interpreter of its own, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter
