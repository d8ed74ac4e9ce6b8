"""Tensors come back as they were, from files that are always the same."""

import json
from pathlib import Path

import torch

from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors


def test_tensors_survive_a_round_trip_with_the_same_bytes(tmp_path: Path) -> None:
    """Ten times over: safetensors itself orders its metadata at random."""
    tensors = {"b": torch.arange(6).view(2, 3).float().T, "a": torch.tensor(1.5)}
    info = {"x": 1, "y": {"z": [1, 2]}, "w": "ä"}
    contents = set()
    for i in range(10):
        path = tmp_path / f"{i}.safetensors"
        write_tensors(path, tensors, info)
        contents.add(path.read_bytes())
    found, found_info = read_tensors(path)
    assert len(contents) == 1
    assert found_info == json.loads(json.dumps(info))
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
