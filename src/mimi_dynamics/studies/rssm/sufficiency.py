"""Sufficiency: how much of the gain from the full past a state alone keeps."""

import copy
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mimi_dynamics.density.devices import on_device
from mimi_dynamics.density.fit import FittedDensity, evaluated_splits
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.density.training import TrainingParams, fit, losses, repeats_for
from mimi_dynamics.density.trunk import AnyTrunk, NoPast
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.gains import Scored
from mimi_dynamics.latents.sequences import Batch, make_batches
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.studies.rssm.measures import Measure, Measured


@dataclass(frozen=True)
class FromState:
    """The fit of a prediction of x from z_dyn,t alone.

    Attributes:
        state: the candidate, of which only the newest row is known.
        raw: x in the same role; its densities are the reference.
        marginal: p(x_{t+k}), from which the density given the state starts.
    """

    state: Measure
    raw: Measure
    marginal: Predictor


@dataclass(frozen=True)
class Sufficiency:
    """How much of the gain from the full past the newest state alone keeps.

    Attributes:
        raw: x predicted from its full past.
        from_state: p(x_{t+k} | z_dyn,t) for the same targets.
    """

    raw: Measured
    from_state: FittedDensity

    def share(self, split: str, bootstrap: ClipBootstrap) -> Estimate:
        """Give the share of the full-context gain on x_{t+k} that is kept."""
        clip = Scored.of(self.raw.job.fit, split).clip
        marginal = self.raw.densities["marginal"].nll[split]
        kept = bootstrap.mean(marginal - self.from_state.nll[split], clip)
        return kept / bootstrap.mean(marginal - self.raw.densities["conditional"].nll[split], clip)

    @property
    def validation_share(self) -> float:
        """The same share on validation, by which to choose between models."""
        marginal = self.raw.densities["marginal"].validation_nll
        return (marginal - self.from_state.validation_nll) / max(self.raw.validation_gain, 1e-9)


def fit_from_state(job: FromState) -> FittedDensity:
    """Fit p(x_{t+k} | z_dyn,t) with the head, training and targets of p(x_{t+k} | x_≤t).

    It starts as the marginal, and stays so where the state does not help on validation.
    """
    seed = zlib.crc32(f"{job.state.seed} sufficiency {job.state.candidate.name}".encode())
    torch.manual_seed(seed)
    params, target = job.raw.params, job.raw.candidate.updates
    known = job.state.candidate.updates
    batches = {
        split: make_batches(
            known.select(split),
            job.raw.horizon,
            params.warmup_frames,
            params.batch_frames,
            target.select(split).frames,
        )
        for split in ("train", "validation", *evaluated_splits(known))
    }
    predictor = copy.deepcopy(job.marginal)
    blind = job.marginal.trunk
    if not isinstance(blind, NoPast):
        raise TypeError(f"{type(blind).__name__}: a marginal has no past")
    predictor.trunk = NewestState(known.dim, blind.width, params.dropout)
    repeats = repeats_for(params.min_steps, params.epochs, len(batches["train"]))
    training = TrainingParams(params.lr, repeats * params.epochs, compute=job.raw.compute)
    generator = torch.Generator().manual_seed(seed)
    fit(predictor, batches["train"], batches["validation"], training, generator)
    held_out = {split: of for split, of in batches.items() if split != "train"}
    with on_device(predictor, job.raw.compute):
        nll = {split: losses(predictor, of).to(CPU).numpy() for split, of in held_out.items()}
    return FittedDensity(predictor, nll)


class NewestState(AnyTrunk):
    """A trunk that knows the newest row and nothing before it.

    Args:
        dim: number of coordinates of a row.
        features: number of features that the head expects, at least `dim`.
        dropout: share of hidden features that are dropped in training.
    """

    def __init__(self, dim: int, features: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(dim, features), nn.SiLU(), nn.Linear(features, features - dim), nn.SiLU()
        )
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Parameter(torch.zeros(features))  # at zero, the density is the marginal

    def features(self, batch: Batch) -> Tensor:
        """Give the (scored, features) that are known when each scored target is predicted."""
        rows = batch.context[batch.scored]
        return torch.cat([self.dropout(self.hidden(rows)), rows], -1) * self.gate
