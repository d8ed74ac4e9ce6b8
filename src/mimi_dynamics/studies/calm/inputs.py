"""The inputs of the stage `calm` and of its study from other stages.

A missing file is reported in one line that names it.
"""

from dataclasses import dataclass
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.metrics import detail_path, read_metrics
from mimi_dynamics.studies.rssm.model import Rssm
from mimi_dynamics.studies.rssm.training import load_rssm

RSSM = Path("models/rssm.safetensors")


@dataclass(frozen=True)
class Factorisation:
    """The factorisation that the stage `rssm` chose.

    Attributes:
        model: the trained model.
        budget: the budget in nats per frame for which it was trained.
    """

    model: Rssm
    budget: float

    @property
    def choice(self) -> dict[str, float]:
        """What the stage chose: results depend on it, and settings may list several of both."""
        return {"state_dim": self.model.shape.state_dim, "budget": self.budget}


def read_factorisation() -> Factorisation:
    """Read the model that the stage `rssm` chose, and the budget for which it was trained.

    Raises:
        InputError: if a file is missing, or if the state is not updated at every frame.
    """
    model = load_rssm(require(RSSM, "rssm"))
    metrics = read_metrics(detail_path("rssm"))
    stride = model.shape.state_stride
    if stride != 1:
        raise InputError(f"rssm.state_stride = {stride}: must be 1 for the stage calm")
    return Factorisation(model, metrics["budget_nats_per_frame"])
