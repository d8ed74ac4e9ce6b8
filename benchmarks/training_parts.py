"""Where the time of training goes, and what the machine can do: for benchmarks/training.py."""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.pipeline.errors import InputError

REPEATS = 9


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Within, `spent` grows by what forward and backward passes and the optimizer take."""
    places: dict[str, list[tuple[type | ModuleType, str]]] = {
        "model": [(Predictor, "forward"), (Tensor, "backward")]
    }
    places["optimizer"] = [(torch.optim.AdamW, "step"), (torch.nn.utils, "clip_grad_norm_")]
    before = [(owner, name, getattr(owner, name)) for of in places.values() for owner, name in of]
    for part, of in places.items():
        for owner, name in of:
            setattr(owner, name, _timing(getattr(owner, name), spent, part))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def _timing(function: Callable, spent: dict[str, float], part: str) -> Callable:
    def call(*arguments: object, **named: object) -> object:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[part] = spent.get(part, 0.0) + time.perf_counter() - start

    return call


def square(dtype: torch.dtype) -> Tensor:
    """Of 1024 x 1024 numbers."""
    return torch.randn(1024, 1024).to(dtype)


def limits() -> dict[str, float]:
    """What one thread can do: products of matrices in GFLOP/s, copies in GB/s."""

    def seconds(work: Callable[[], object]) -> float:
        found = []
        for _ in range(REPEATS):
            start = time.process_time()
            work()
            found.append(time.process_time() - start)
        return float(np.median(found))

    single, half = square(torch.float32), square(torch.bfloat16)
    large = torch.zeros(2**26)
    target = torch.empty_like(large)
    return {
        "float32, GFLOP/s": 2 * 1024**3 / seconds(lambda: single @ single) / 1e9,
        "bfloat16, GFLOP/s": 2 * 1024**3 / seconds(lambda: half @ half) / 1e9,
        "copy, GB/s": 4 * 2**26 / seconds(lambda: target.copy_(large)) / 1e9,
    }


def loop_of(commit: str) -> ModuleType:
    """The module `training` of a commit, beside today's."""
    name = f"{commit}:src/mimi_dynamics/density/training.py"
    shown = subprocess.run(["git", "show", name], capture_output=True, text=True, check=False)
    if shown.returncode:
        raise InputError(f"--before {commit}: {shown.stderr.strip()}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training_before.py"
        path.write_text(shown.stdout, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None  # for the name ends in .py
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    return module
