"""Scores of fitted densities on disk: what stage `horizon` finds, and other stages read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mimi_dynamics.density.fit import FittedDensity
from mimi_dynamics.evidence.gains import Fits
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors


def scores_path(k: int) -> Path:
    """Give the path of the scores of all fits of one distance, of k frames."""
    return Path(f"data/horizons/k{k}.safetensors")


def write_fits(k: int, trainings: Sequence[Fits], info: Mapping[str, Any]) -> None:
    """Write the scores of all fits of distance k, without their predictors.

    Args:
        k: the distance, in frames.
        trainings: the fits of every training.
        info: the settings, to be told in the file.
    """
    nll = {
        f"{split}.{row}.{head}.{density}.{training}": torch.from_numpy(values)
        for training, of_training in enumerate(trainings)
        for (row, head, density), fitted in of_training.items()
        for split, values in fitted.nll.items()
    }
    write_tensors(scores_path(k), nll, info)


def read_fits(k: int) -> list[Fits]:
    """Read the scores that stage `horizon` wrote for distance k.

    Returns:
        Fits by row, head and density, of each training. They hold only the NLL of each scored
        frame, in nats, by split; there is no predictor in them.

    Raises:
        InputError: stage `horizon` has not run for this distance.
    """
    tensors, _ = read_tensors(require(scores_path(k), "horizon"))
    scores: dict[int, dict[tuple[str, str, str], dict]] = {}
    for name, nll in tensors.items():
        split, row, head, density, training = name.split(".")
        of_training = scores.setdefault(int(training), {})
        of_training.setdefault((row, head, density), {})[split] = nll.numpy()
    return [
        {key: FittedDensity(None, nll) for key, nll in scores[training].items()}
        for training in sorted(scores)
    ]
