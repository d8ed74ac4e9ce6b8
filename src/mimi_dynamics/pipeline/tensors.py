"""Read and write tensors as safetensors, never as pickles, with the same bytes every time."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from mimi_dynamics.pipeline.files import atomic_path


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], info: Mapping[str, Any]) -> None:
    """Save tensors as a safetensors file, atomically. The same input gives the same bytes.

    safetensors writes two or more metadata keys in random order, so `info` becomes the JSON string
    of a single key.

    Args:
        path: the file to write.
        tensors: the tensors by name, of any shape.
        info: metadata; any values that JSON can hold.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        # The errors of `save_file` would not tell a full disk from other problems.
        temporary.write_bytes(save(contiguous, {"info": json.dumps(info, sort_keys=True)}))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a file that `write_tensors` wrote, and give its tensors by name and its `info`."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads((file.metadata() or {}).get("info", "{}"))


def sha256_of_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """Give one hash of names, types, shapes and values of tensors, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
