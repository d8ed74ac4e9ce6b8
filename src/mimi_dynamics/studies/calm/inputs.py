"""What stage `calm` and its study read of other stages, each missing file named in one line."""

import json
from dataclasses import dataclass
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.rssm.model import Rssm
from mimi_dynamics.studies.rssm.training import load_rssm

LATENTS = Path("data/latents")
NORMALIZER = Path("models/normalizer.safetensors")
PREDICTOR = Path("models/horizons/k1.safetensors")
RSSM = Path("models/rssm.safetensors")
RSSM_METRICS = Path("metrics/rssm.json")


@dataclass(frozen=True)
class Factorisation:
    """What stage `rssm` chose.

    Attributes:
        model: its weights.
        budget: nats per frame it was trained for.
    """

    model: Rssm
    budget: float


def require(path: Path, stage: str) -> Path:
    """Give back the path of a file that a stage writes.

    Raises:
        InputError: it is not there.
    """
    if not path.exists():
        raise InputError(f"{path}: not there; run the stage {stage}")
    return path


def require_predictor() -> Path:
    """Give the path of the plain predictor of one frame ahead.

    Raises:
        InputError: it is not there.
    """
    return require(PREDICTOR, "horizon with 1 among horizons")


def read_factorisation() -> Factorisation:
    """Read the model that stage `rssm` chose, and the budget it was trained for.

    Raises:
        InputError: it is not there, or its state is not updated at every frame.
    """
    model = load_rssm(require(RSSM, "rssm"))
    metrics = json.loads(require(RSSM_METRICS, "rssm").read_text(encoding="utf-8"))
    stride = model.shape.state_stride
    if stride != 1:
        raise InputError(f"rssm.state_stride = {stride}: must be 1 for the stage calm")
    return Factorisation(model, metrics["budget_nats_per_frame"])
