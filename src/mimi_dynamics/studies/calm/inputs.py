"""What stage `calm` and its study read of other stages, each missing file named in one line."""

from dataclasses import dataclass
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.metrics import detail_path, read_metrics
from mimi_dynamics.studies.rssm.model import Rssm
from mimi_dynamics.studies.rssm.training import load_rssm

PREDICTOR = Path("models/horizons/k1.safetensors")
RSSM = Path("models/rssm.safetensors")


@dataclass(frozen=True)
class Factorisation:
    """What stage `rssm` chose.

    Attributes:
        model: its weights.
        budget: nats per frame it was trained for.
    """

    model: Rssm
    budget: float


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
    metrics = read_metrics(detail_path("rssm"))
    stride = model.shape.state_stride
    if stride != 1:
        raise InputError(f"rssm.state_stride = {stride}: must be 1 for the stage calm")
    return Factorisation(model, metrics["budget_nats_per_frame"])
