"""Models of `transformers` from a folder or a repository of the Hugging Face hub.

A folder has a `config.json` and safetensors files. Nothing is unpickled, no code that comes with
weights is run, and a folder needs no network.
"""

import importlib.util
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from mimi_dynamics.codec.base import sha256_of
from mimi_dynamics.codec.hf_models import KINDS, Kind, UnfitError
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import HF_PREFIX, CodecParams

CONFIG = "config.json"
FILES = [CONFIG, "*.safetensors", "*.safetensors.index.json"]
REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


def folder_of(params: CodecParams, files: list[str]) -> Path:
    """Give the folder that `codec.name` names, or one with a copy of a repository's `files`.

    Raises:
        InputError: there is none, or `transformers` is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise InputError(
            f"codec.name = {params.name!r}: transformers is not installed; "
            "`pip install 'mimi-dynamics[hf]'`"
        )
    named = params.name.removeprefix(HF_PREFIX)
    folder = Path(named).expanduser()
    if folder.is_dir():
        return folder
    if not REPOSITORY.fullmatch(named):
        raise InputError(f"codec.name = {params.name!r}: no such folder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # A warning for every retry would hide the message below.
    try:
        return Path(snapshot_download(named, revision=params.hf.revision, allow_patterns=files))
    except (OSError, ValueError) as error:
        raise InputError(
            f"codec.name = {params.name!r}: no folder, not cached, and not to be had from "
            f"huggingface.co/{named} at {params.hf.revision!r} ({type(error).__name__})"
        ) from error


def hash_of(folder: Path) -> str:
    """Give the sha256 of the weights in a folder: of the file, or of all files' hashes by name.

    Raises:
        InputError: there is none that can be read without running code, or one is not readable.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(
            f"{folder}: has no .safetensors file; pickled weights such as .bin are never read, "
            "for they can run code"
        )
    try:
        sums = [sha256_of(file) for file in files]
    except OSError as error:
        raise InputError(f"{folder}: weights not readable: {error.strerror}") from error
    return sums[0] if len(sums) == 1 else sha256("".join(sums).encode()).hexdigest()


def read_model(folder: Path, *, with_weights: bool) -> Kind:
    """Build the model that a folder holds, with the weights in it or with random ones.

    Raises:
        InputError: it is of no known kind, its settings or weights do not fit, or weights are
            missing.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    config = _read_config(folder / CONFIG)
    kind = config.get("model_type")
    if kind not in KINDS:
        raise InputError(
            f"{folder / CONFIG}: model_type = {kind!r}: must be one of {', '.join(KINDS)}"
        )
    class_name, fitting = KINDS[kind]
    model_class = getattr(transformers, class_name)
    try:
        settings = _settings(model_class.config_class, config)
        model = _load(model_class, settings, folder) if with_weights else model_class(settings)
        _fold_weight_norms(model)
        return fitting(model.eval())
    except UnfitError as error:
        raise InputError(f"{folder}: this codec {error}") from error
    except InputError:
        raise
    except Exception as error:  # of any class, by what is wrong in files from elsewhere
        raise InputError(f"{folder}: {' '.join(str(error).split()):.300}") from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: must hold settings by name")
    return config


def _settings(config_class: Any, config: dict[str, Any]) -> Any:  # noqa: ANN401
    """Give the settings of a model without looking anything up in other repositories.

    X-Codec's name the repository that its HuBERT came from, which would be asked for.
    """
    semantic = config.get("semantic_model_config")
    if semantic is not None:
        from transformers import HubertConfig, WavLMConfig

        inner = WavLMConfig if semantic.get("model_type") == "wavlm" else HubertConfig
        kept = {key: value for key, value in semantic.items() if key != "_name_or_path"}
        config = config | {"semantic_model_config": inner(**kept)}
    return config_class(**config)


def _load(model_class: Any, settings: Any, folder: Path) -> nn.Module:  # noqa: ANN401
    """Load the weights in a folder; all that the model has must be among them."""
    model, found = model_class.from_pretrained(
        folder,
        config=settings,
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
        use_safetensors=True,
    )
    absent = sorted(found["missing_keys"])
    if absent:
        raise InputError(
            f"{folder}: {len(absent)} weights are missing, of which one is {absent[0]}"
        )
    return model


def _fold_weight_norms(model: nn.Module) -> None:
    """Replace weights that are computed anew in every pass, which could not be pickled either."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
            module._load_state_dict_pre_hooks.clear()  # for older names of what was replaced
