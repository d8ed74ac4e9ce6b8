"""`mimi`: Kyutai's checkpoint (Moshi, arXiv 2410.00037), from the hub or from a path."""

from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.utils import logging as hub_logging
from moshi.models.loaders import get_mimi

from mimi_dynamics.codec.base import Codec, first_weights, load_weights, sha256_of
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CodecParams

MIMI_REPOSITORY = "kyutai/moshiko-pytorch-bf16"
MIMI_REVISION = "2bfc9ae6e89079a5cc7ed2a68436010d91a3d289"
MIMI_FILE = "tokenizer-e351c8d8-checkpoint125.safetensors"
# As several public projects pin it (384,644,900 bytes); nobody here has downloaded it to compare.
MIMI_SHA256 = "09b782f0629851a271227fb9d36db65c041790365f11bbe5d3d59369cf863f50"


def load(params: CodecParams) -> Codec:
    """Load the file that `codec.mimi.weights` names, or Kyutai's own from the hub.

    A local file may be anyone's checkpoint of Mimi's shape; what comes from the hub must be
    Kyutai's, to the bit.

    Raises:
        InputError: no weights to be had, or weights that do not fit.
    """
    path = Path(params.mimi.weights) if params.mimi.weights else _download_mimi()
    return load_weights("mimi", path, None, params.mimi.codebooks)


def untrained(params: CodecParams) -> Codec:
    """Build a codec of its shape with first weights."""
    return first_weights("mimi", get_mimi(None, num_codebooks=params.mimi.codebooks))


def _download_mimi() -> Path:
    hub_logging.set_verbosity_error()  # a warning for every retry would bury the one line below
    try:
        path = Path(hf_hub_download(MIMI_REPOSITORY, MIMI_FILE, revision=MIMI_REVISION))
    except OSError as error:
        raise InputError(
            f"{MIMI_FILE}: not cached and not to be had from huggingface.co/{MIMI_REPOSITORY} "
            f"({type(error).__name__}); set codec.mimi.weights to a local copy"
        ) from error
    sha256 = sha256_of(path)
    if sha256 != MIMI_SHA256:
        raise InputError(f"{path}: sha256 is {sha256}: must be {MIMI_SHA256}")
    return path
