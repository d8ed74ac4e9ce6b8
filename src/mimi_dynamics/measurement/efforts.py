"""How much is tried: `fast`, `standard` and `best`."""

from dataclasses import dataclass

from mimi_dynamics.density.fit import LINEAR_BASELINE, WITHOUT_NETWORK
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import PredictParams

# The section `predict` of the pipeline's params.yaml; a test compares the two.
STANDARD = PredictParams(
    heads=["gaussian", "mdn", "flow"],
    warmup_frames=8,
    var_order=8,
    lags=32,
    linear_order=4,
    context_frames=0,
    width=128,
    components=8,
    dropout=0.1,
    batch_frames=512,
    lr=0.006,
    pretrain_epochs=2,
    epochs=4,
    min_steps=300,
    bootstrap_samples=2000,
)
SMALL = STANDARD.model_copy(
    update={
        "heads": ["gaussian"],
        "lags": 8,
        "width": 32,
        "pretrain_epochs": 1,
        "epochs": 1,
        "min_steps": 60,
    }
)


@dataclass(frozen=True)
class Effort:
    """What is fitted, and to what.

    Attributes:
        words: what it is, for the table.
        settings: of all densities. Of its heads, the best on validation one frame ahead counts.
        beside: densities without a network that are stacked with the head.
        horizons: how many frames ahead, where nobody says.
        trainings: of the head on the nearest horizon.
        controls: processes with known answers, keys of `PROCESSES`.
        most_frames: of more, evenly spaced clips are measured.
    """

    words: str
    settings: PredictParams
    beside: tuple[str, ...]
    horizons: tuple[int, ...]
    trainings: int
    controls: tuple[str, ...]
    most_frames: int


CONTROLS = ("white_noise", "linear", "sign_flip")
EFFORTS = {
    "fast": Effort(
        "a lower bound, by a linear model and one small network",
        SMALL,
        (LINEAR_BASELINE,),
        (1, 2),
        1,
        CONTROLS,
        250_000,
    ),
    "standard": Effort(
        "by the densities and the settings of the pipeline",
        STANDARD,
        WITHOUT_NETWORK,
        (1, 2, 3, 4, 8),
        1,
        (*CONTROLS, "heteroscedastic"),
        500_000,
    ),
    "best": Effort(
        "by all heads, the nearest frame by three trainings",
        STANDARD.model_copy(update={"heads": ["gaussian", "mdn", "autoregressive", "flow"]}),
        WITHOUT_NETWORK,
        (1, 2, 3, 4, 8),
        3,
        (*CONTROLS, "heteroscedastic", "long_memory"),
        500_000,
    ),
}


def effort_named(name: str) -> Effort:
    """Find an effort by its name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in EFFORTS:
        raise InputError(f"effort = {name!r}: must be one of {', '.join(EFFORTS)}")
    return EFFORTS[name]
