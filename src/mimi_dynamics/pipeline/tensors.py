"""Tensors on disk: safetensors, never pickles, with the same bytes every time."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from mimi_dynamics.pipeline.files import atomic_path


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], info: Mapping[str, Any]) -> None:
    """Save tensors as safetensors with `info` (anything JSON) as metadata; same input, same bytes.

    safetensors writes two or more metadata keys in random order, hence one key with a JSON string.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        # Not `save_file`: its errors do not tell a full disk from others.
        temporary.write_bytes(save(contiguous, {"info": json.dumps(info, sort_keys=True)}))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote: the tensors by name, and `info`."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads((file.metadata() or {}).get("info", "{}"))
