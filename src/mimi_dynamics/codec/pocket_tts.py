"""The codec `pocket-tts`: the encoder and decoder of Pocket TTS, Kyutai's model after CALM.

It is a Mimi without a quantiser: a variational autoencoder with 32 numbers every 80 ms (CALM, arXiv
2509.06926, section 3.1), on which a generator of continuous latents is trained. So these latents
are the very thing that such a generator predicts. The package `pocket-tts` computes them. What it
generates speech with stays unloaded, and its own normalisation of latents is left to `normalize`.
"""

import importlib.util
from contextlib import AbstractContextManager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from yaml import YAMLError

from mimi_dynamics.codec.base import (
    FRAME_RATE,
    FRAME_SIZE,
    SAMPLE_RATE,
    Codec,
    initialise,
    seconds_back,
    sha256_of,
)
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CodecParams
from mimi_dynamics.pipeline.sources import expanded

NAME = "pocket-tts"


class PocketCodec(Codec):
    """The autoencoder of Pocket TTS. It has no codes, and does not stream."""

    model: Any  # the package's `MimiModel`, which has no types that mypy reads
    can_stream = False

    def __init__(self, name: str, weights_sha256: str, model: Any, config: Any) -> None:  # noqa: ANN401
        """Take the package's model, and its settings."""
        from pocket_tts.modules.attention import StreamingMultiheadAttention

        super().__init__(name, weights_sha256, model, config.quantizer.dimension, 0, 0)
        # One whose encoder has the frames' rate already has no downsampling.
        parts = model.encoder, model.encoder_transformer, getattr(model, "downsample", None)
        self.hears_back = seconds_back(filter(None, parts), StreamingMultiheadAttention)
        settings = sha256(config.model_dump_json().encode()).hexdigest()
        self.runtime = f"{NAME} {version(NAME)} {settings:.12}"

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Give the latents of `audio`; see `Codec.encode`. The model is causal, and pads itself."""
        return self.model.encode_to_latent(audio[:, None])

    def quantize(self, latents: torch.Tensor) -> torch.Tensor:
        """Give (batch, frames, 0) codes: there are none."""
        return torch.zeros(*latents.shape[:2], 0, dtype=torch.int64)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give the audio (batch, samples) of `latents` (batch, frames, dim)."""
        from pocket_tts.modules.stateful_module import init_states

        batch, frames = latents.shape[:2]
        steps = frames * round(self.model.encoder_frame_rate / self.model.frame_rate)
        state = init_states(self.model, batch, steps)
        return self.model.decode_from_latent(latents, state)[:, 0, : frames * FRAME_SIZE]

    def decode_codes(self, codes: torch.Tensor) -> NoReturn:
        """Refuse: it has no codes.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{self.name} has no codes")

    def encode_in(self, dtype: torch.dtype) -> None:
        """Refuse any other number format than float32, as convolutions start from float32 zeros.

        Raises:
            InputError: `dtype` is not float32.
        """
        if dtype != torch.float32:
            raise InputError(f"encode.dtype: must be float32 for codec.name = {NAME!r}")

    def streaming(self, batch: int, frames: int = 1) -> AbstractContextManager[None]:
        """Refuse: the package must be told the number of steps in advance.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{self.name} does not stream")


def load(params: CodecParams) -> Codec:
    """Load the file that `codec.pocket_tts.weights` names, or Kyutai's own from the hub.

    Raises:
        InputError: `pocket-tts` is not installed, there are no weights, or they do not fit.
    """
    config = _config(params)
    named = params.pocket_tts.weights
    path = expanded(named) if named else _download(config)
    model = _model(config.mimi)
    from pocket_tts.utils.weights_loading import get_mimi_state_dict

    try:
        hash_of_file = sha256_of(path)
        model.load_state_dict(get_mimi_state_dict(path))
    except OSError as error:
        raise InputError(f"{path}: codec weights not readable: {error.strerror}") from error
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from error
    except RuntimeError as error:
        # The message of load_state_dict has a title and then one line per tensor that is wrong.
        problem = str(error).splitlines()[-1].strip()
        raise InputError(f"{path}: does not fit {NAME}: {problem:.200}") from error
    # Those who publish weights without voice cloning put zeros in the place of the encoder.
    if not any(tensor.any() for tensor in model.encoder.state_dict().values()):
        raise InputError(f"{path}: its encoder is all zeros: must be weights with voice cloning")
    return PocketCodec(NAME, hash_of_file, model, config.mimi)


def untrained(params: CodecParams) -> Codec:
    """Build a codec of the same shape with random weights.

    Raises:
        InputError: `pocket-tts` is not installed, or cannot build `codec.pocket_tts.config`.
    """
    config = _config(params).mimi
    model = _model(config)
    initialise(model)
    return PocketCodec(f"untrained {NAME}", "", model, config)


def _config(params: CodecParams) -> Any:  # noqa: ANN401
    """Read the package's settings of a model: one of its own by name, or a YAML file.

    Raises:
        InputError: the package is not installed, there are no such settings, or the model works at
            another rate than all that Kyutai published.
    """
    if importlib.util.find_spec("pocket_tts") is None:
        raise InputError(
            f"codec.name = {NAME!r}: the package is not installed; "
            "`pip install 'mimi-dynamics[pocket-tts]'`"
        )
    from pocket_tts.utils.config import CONFIGS_DIR, load_config

    name = params.pocket_tts.config
    path = expanded(name) if name.endswith(".yaml") else CONFIGS_DIR / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in CONFIGS_DIR.glob("*.yaml")))
        raise InputError(f"codec.pocket_tts.config = {name!r}: must be a .yaml file, or of {known}")
    try:
        config = load_config(path)
    except (ValueError, TypeError, YAMLError) as error:  # pydantic's own is a ValueError
        problem = " ".join(str(error).split())
        raise InputError(f"codec.pocket_tts.config = {name!r}: {problem:.200}") from error
    rates = config.mimi.sample_rate, config.mimi.frame_rate
    if rates != (SAMPLE_RATE, FRAME_RATE):
        raise InputError(
            f"codec.pocket_tts.config = {name!r}: has {rates[1]:g} latents a second at {rates[0]} "
            f"Hz: must be {FRAME_RATE:g} at {SAMPLE_RATE} Hz"
        )
    # As of one of its oldest, whose encoder is of another kind.
    given = config.mimi.inner_dim or config.mimi.seanet.dimension
    if given != config.mimi.quantizer.dimension:
        raise InputError(
            f"codec.pocket_tts.config = {name!r}: its encoder gives {given} numbers and its "
            f"decoder takes {config.mimi.quantizer.dimension}; choose another"
        )
    return config


def _model(config: Any) -> Any:  # noqa: ANN401
    """Build the package's model; like its own `TTSModel`, name the parts that keep a state."""
    from pocket_tts.models.mimi import build_mimi
    from pocket_tts.modules.stateful_module import StatefulModule

    try:
        model = build_mimi(config)
    except (AssertionError, ValueError, RuntimeError) as error:
        problem = " ".join(str(error).split()) or "the package cannot build it"
        raise InputError(f"codec.pocket_tts.config: no such model: {problem:.200}") from error
    for name, module in model.named_modules():
        if isinstance(module, StatefulModule):
            module._module_absolute_name = name
    return model


def _download(config: Any) -> Path:  # noqa: ANN401
    from pocket_tts.utils.utils import download_if_necessary

    address = config.mimi.weights_path or config.weights_path
    if address is None:
        raise InputError("codec.pocket_tts.weights: must name a file, this config names none")
    try:
        return Path(download_if_necessary(address))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{address}: not cached and not to be had ({type(error).__name__}); of its own, Kyutai "
            "asks to accept its terms there and to log in; codec.pocket_tts.weights may name a copy"
        ) from error
