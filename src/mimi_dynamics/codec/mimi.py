"""The codec `mimi`: Kyutai's checkpoint (Moshi, arXiv 2410.00037), from the hub or a local file."""

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
# Several public projects pin this hash (of 384,644,900 bytes). We have not downloaded the file to
# compare it.
MIMI_SHA256 = "09b782f0629851a271227fb9d36db65c041790365f11bbe5d3d59369cf863f50"


def load(params: CodecParams) -> Codec:
    """Load the file that `codec.mimi.weights` names, or Kyutai's own from the hub.

    A local file may be any checkpoint of Mimi's shape. A file from the hub must be, bit for bit,
    the one that Kyutai published.

    Raises:
        InputError: there are no weights, or they do not fit the model.
    """
    named = params.mimi.weights
    path = Path(named).expanduser() if named else _download_mimi()
    return load_weights("mimi", path, None, params.mimi.codebooks)


def untrained(params: CodecParams) -> Codec:
    """Build a codec of Mimi's shape with the weights that training starts from."""
    return first_weights("mimi", get_mimi(None, num_codebooks=params.mimi.codebooks))


def _download_mimi() -> Path:
    # A warning for every retry would hide the error message below.
    hub_logging.set_verbosity_error()
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
