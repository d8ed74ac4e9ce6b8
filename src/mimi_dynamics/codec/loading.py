"""Load the codec that the settings name. Each codec is a module beside this one, in `CODECS`.

Its `load` gives the codec with its weights, and `untrained` one of the same shape with the weights
that training starts from.
"""

from types import ModuleType

import torch

from mimi_dynamics.codec import lyra, mimi, mimi_mini
from mimi_dynamics.codec.base import Codec
from mimi_dynamics.pipeline.params import CodecParams

CODECS: dict[str, ModuleType] = {"mimi-mini": mimi_mini, "mimi": mimi, "lyra": lyra}


def load_codec(params: CodecParams) -> Codec:
    """Load the codec that `params` names.

    Raises:
        InputError: there are no weights, or they are not those that `params` describes.
    """
    return CODECS[params.name].load(params)


def untrained_codec(params: CodecParams, seed: int) -> Codec:
    """Build the codec that `params` names, with the random weights from which training starts."""
    torch.manual_seed(seed)
    return CODECS[params.name].untrained(params)
