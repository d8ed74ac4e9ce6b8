"""Load the codec that the settings name. Each codec is a module beside this one, in `CODECS`.

What `transformers` reads is one module more, `hf`; its codecs are named by what follows `hf:`. The
`load` of a module gives the codec with its weights, and `untrained` one of the same shape with the
weights that training starts from.
"""

from types import ModuleType

import torch

from mimi_dynamics.codec import hf, lyra, mimi, mimi_mini
from mimi_dynamics.codec.base import Codec
from mimi_dynamics.pipeline.params import HF_PREFIX, CodecParams

CODECS: dict[str, ModuleType] = {"mimi-mini": mimi_mini, "mimi": mimi, "lyra": lyra}


def load_codec(params: CodecParams) -> Codec:
    """Load the codec that `params` names.

    Raises:
        InputError: there are no weights, or they are not those that `params` describes.
    """
    return _module(params.name).load(params)


def untrained_codec(params: CodecParams, seed: int) -> Codec:
    """Build the codec that `params` names, with the random weights from which training starts."""
    torch.manual_seed(seed)
    return _module(params.name).untrained(params)


def _module(name: str) -> ModuleType:
    return hf if name.startswith(HF_PREFIX) else CODECS[name]
