"""How many nats the past tells about the next latent: fits, and their scores frame by frame."""

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from mimi_dynamics.params import PredictParams
from mimi_dynamics.predictor import Predictor, make_predictor
from mimi_dynamics.sequences import Batch, Sequences, difference_targets, make_batches
from mimi_dynamics.training import TrainingParams, fit, losses
from mimi_dynamics.var import Var, fit_var

Density = Literal["conditional", "marginal", "delta_marginal"]
DENSITIES: tuple[Density, ...] = ("conditional", "marginal", "delta_marginal")


@dataclass(frozen=True)
class Fit:
    """One density to be fitted and scored.

    Attributes:
        row: name of the data, `real` or a surrogate's.
        sequences: the data, every split.
        head: a key of `heads.HEADS`, or `var` for the closed-form floor.
        density: p(x_{t+k} | x_{≤t}), p(x_{t+k}) or p(Δx).
        horizon: k, in frames.
        params: of the predictor.
        seed: of initial weights, batch order and dropout.
    """

    row: str
    sequences: Sequences
    head: str
    density: Density
    horizon: int
    params: PredictParams
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A fitted density and what it says of held-out frames.

    Attributes:
        predictor: the model, or None for the closed-form `var`.
        validation_nll: nats per frame.
        nll: by evaluated split, (scored,) nats per frame.
    """

    predictor: Predictor | None
    validation_nll: float
    nll: dict[str, np.ndarray]


EVALUATED_SPLITS = ("test", "test_voice")


def fit_density(job: Fit) -> Fitted:
    """Fit one density on train, stop on validation, score the evaluated splits."""
    train, validation = (batches_of(job, split) for split in ("train", "validation"))
    evaluated = {split: batches_of(job, split) for split in evaluated_splits(job.sequences)}
    uses_past = job.density == "conditional"
    var = fit_var(train, validation, job.params.var_order if uses_past else 0)
    if job.head == "var":
        nll = {split: _var_nll(var, batches) for split, batches in evaluated.items()}
        return Fitted(None, float(_var_nll(var, validation).mean()), nll)
    seed = zlib.crc32(f"{job.seed} {job.row} {job.head} {job.density}".encode())
    torch.manual_seed(seed)
    predictor = make_predictor(
        var,
        job.head,
        uses_past=uses_past,
        width=job.params.width,
        components=job.params.components,
        dropout=job.params.dropout,
    )
    training = TrainingParams(job.params.lr, job.params.max_epochs, job.params.patience)
    generator = torch.Generator().manual_seed(seed)
    validation_nll = fit(predictor, train, validation, training, generator)
    nll = {split: losses(predictor, batches).numpy() for split, batches in evaluated.items()}
    return Fitted(predictor, validation_nll, nll)


def _var_nll(var: Var, batches: list[Batch]) -> np.ndarray:
    return -torch.cat([var.log_prob(batch) for batch in batches]).numpy()


def batches_of(job: Fit, split: str) -> list[Batch]:
    """The batches of one split, with the targets that the density is about."""
    sequences = job.sequences.select(split)
    targets = None
    if job.density == "delta_marginal":
        targets = difference_targets(sequences, job.horizon)
    return make_batches(
        sequences, job.horizon, job.params.warmup_frames, job.params.batch_frames, targets
    )


def evaluated_splits(sequences: Sequences) -> list[str]:
    """`test`, and `test_voice` where a voice is held out."""
    return [split for split in EVALUATED_SPLITS if split in sequences.splits]
