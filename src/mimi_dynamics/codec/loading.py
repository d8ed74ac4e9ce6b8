"""Load the codec that the settings name. Each codec is a module beside this one, in `CODECS`.

What `transformers` reads is one module more, `hf`; its codecs are named by what follows `hf:`. The
`load` of a module gives the codec with its weights, and `untrained` one of the same shape with the
weights that training starts from.
"""

from types import ModuleType

import torch

from mimi_dynamics.codec import hf, lyra, mimi, mimi_mini, pocket_tts
from mimi_dynamics.codec.base import Codec
from mimi_dynamics.pipeline.devices import CPU, device_of
from mimi_dynamics.pipeline.params import HF_PREFIX, PLAIN, CodecParams, ComputeParams

CODECS: dict[str, ModuleType] = {
    "mimi-mini": mimi_mini,
    "mimi": mimi,
    "lyra": lyra,
    "pocket-tts": pocket_tts,
}


def load_codec(params: CodecParams, compute: ComputeParams = PLAIN) -> Codec:
    """Load the codec that `params` names.

    Args:
        params: the section `codec`.
        compute: the device to load it to; those that are not of torch, such as `lyra`, stay on the
            CPU.

    Raises:
        InputError: there are no weights, or they are not those that `params` describes, or the
            device is not there.
    """
    device, codec = device_of(compute), _module(params.name).load(params)
    if device != CPU:
        codec.model.to(device)
    return codec


def untrained_codec(params: CodecParams, seed: int) -> Codec:
    """Build the codec that `params` names, with the random weights from which training starts."""
    torch.manual_seed(seed)
    return _module(params.name).untrained(params)


def _module(name: str) -> ModuleType:
    return hf if name.startswith(HF_PREFIX) else CODECS[name]
