"""The codec that the settings name. A codec is a module of this room, and its line in `CODECS`.

Of a module, `load` gives the codec, and `untrained` one of its shape with first weights.
"""

from types import ModuleType

import torch

from mimi_dynamics.codec import mimi, mimi_mini
from mimi_dynamics.codec.base import Codec
from mimi_dynamics.pipeline.params import CodecParams

CODECS: dict[str, ModuleType] = {"mimi-mini": mimi_mini, "mimi": mimi}


def load_codec(params: CodecParams) -> Codec:
    """Load the codec that `params` names.

    Raises:
        InputError: no weights to be had, or weights that are not what `params` says.
    """
    return CODECS[params.name].load(params)


def untrained_codec(params: CodecParams, seed: int) -> Codec:
    """Build a codec of the shape that `params` names, with weights as training starts from."""
    torch.manual_seed(seed)
    return CODECS[params.name].untrained(params)
