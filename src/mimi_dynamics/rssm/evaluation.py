"""How easy a candidate for a state is, and how much of x it keeps: one code path for all."""

import copy
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mimi_dynamics.estimation import (
    EVALUATED_SPLITS,
    Fit,
    Fitted,
    evaluated_splits,
    fit_densities,
)
from mimi_dynamics.gains import Scored
from mimi_dynamics.params import PredictParams
from mimi_dynamics.predictor import Predictor
from mimi_dynamics.scoring import ClipBootstrap, Estimate
from mimi_dynamics.sequences import Batch, Sequences, make_batches
from mimi_dynamics.states import MOST_GAIN, Candidate
from mimi_dynamics.training import TrainingParams, fit, losses, mean_loss

READOUT_WIDTH = 128
READOUT_EPOCHS = 4
READOUT_BATCH = 2048
READOUT_LR = 0.004


@dataclass(frozen=True)
class Measure:
    """What to measure of one candidate.

    Attributes:
        candidate: see `Candidate`.
        data: the frames x that it is of, without noise.
        head: of the estimator.
        horizon: frames ahead of the gain, in updates.
        params: of the estimator.
        seed: of every fit.
        readout: whether x is to be read from it.
    """

    candidate: Candidate
    data: Sequences
    head: str
    horizon: int
    params: PredictParams
    seed: int
    readout: bool = True

    @property
    def fit(self) -> Fit:
        """The job of the estimator, the one of `predict`."""
        updates = self.candidate.updates
        return Fit("real", updates, self.head, self.horizon, self.params, self.seed)


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        densities: p(s_u+k | s_≤u) as `conditional` and p(s_u+k) as `marginal`, of updates s.
        readings: (frames, dim) x as read from the state held at each frame of every split; None
            if it was not asked for.
    """

    densities: dict[str, Fitted]
    readings: Tensor | None


def measure(job: Measure) -> Measured:
    """Fit the two densities, and read x from the candidate."""
    readings = read_frames(job) if job.readout else None
    return Measured(fit_densities(job.fit), readings)


class Readout(nn.Module):
    """x_t from the coordinates held at t, by least squares: a hidden layer and a linear path.

    Args:
        state_dim: of the coordinates.
        dim: of x.
    """

    def __init__(self, state_dim: int, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(state_dim, READOUT_WIDTH)
        self.outputs = nn.Linear(READOUT_WIDTH, dim)
        self.direct = nn.Linear(state_dim, dim, bias=False)
        nn.init.zeros_(self.direct.weight)

    def read(self, state: Tensor) -> Tensor:
        """(..., dim) of (..., state_dim)."""
        return self.outputs(functional.silu(self.hidden(state))) + self.direct(state)

    def forward(self, batch: Batch) -> Tensor:
        """(scored,) squared errors."""
        scored = batch.scored
        return (batch.target[scored] - self.read(batch.context[scored])).square().sum(-1)


def read_frames(job: Measure) -> Tensor:
    """(frames, dim) x read from the noisy held coordinates by what was fitted on train."""
    seed = zlib.crc32(f"{job.seed} readout {job.candidate.name}".encode())
    torch.manual_seed(seed)
    held, data = job.candidate.held, job.data
    train, validation = (
        make_batches(held.select(split), 0, 0, READOUT_BATCH, data.select(split).frames)
        for split in ("train", "validation")
    )
    readout = Readout(held.dim, data.dim)
    training = TrainingParams(READOUT_LR, READOUT_EPOCHS)
    fit(readout, train, validation, training, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return readout.read(held.frames)


class Fidelity:
    """R² of x about its train mean, in whitened coordinates or weighted.

    Args:
        data: the frames x.
        weights: (dim,) of each coordinate's squared error; ones for whitened coordinates, the
            variance of each for latents as the codec has them.
    """

    def __init__(self, data: Sequences, weights: Tensor) -> None:
        self.data, self.weights = data, weights
        self.mean = data.select("train").frames.mean(0)

    def of(self, readings: Tensor, split: str, bootstrap: ClipBootstrap) -> Estimate:
        """R² on the frames of one split, readings being (frames, dim) of that split only."""
        clips = self.data.select(split)
        total = ((clips.frames - self.mean).square() @ self.weights).numpy()
        lost = ((clips.frames - readings).square() @ self.weights).numpy()
        clip = clips.clip_of_frame
        variance = bootstrap.mean(total, clip)
        return (variance - bootstrap.mean(lost, clip)) / variance


def frames_of(values: Tensor, data: Sequences, split: str) -> Tensor:
    """(frames of the split, dim) of (frames, dim)."""
    return values[torch.from_numpy((data.splits == split)[data.clip_of_frame])]


def gain(job: Measure, found: Measured, split: str, bootstrap: ClipBootstrap) -> Estimate:
    """Nats per coordinate that the past of a candidate tells about it."""
    difference = found.densities["marginal"].nll[split] - found.densities["conditional"].nll[split]
    mean = bootstrap.mean(difference, Scored.of(job.fit, split).clip)
    return mean / job.candidate.updates.dim


def ease(job: Measure, found: Measured, split: str, bootstrap: ClipBootstrap) -> Estimate:
    """The gain as a share of what it would be if all but the noise floor were known before."""
    return gain(job, found, split, bootstrap) / MOST_GAIN


def validation_ease(job: Measure, found: Measured) -> float:
    """The same on validation, for choices."""
    marginal, conditional = (
        found.densities[name].validation_nll for name in ("marginal", "conditional")
    )
    return (marginal - conditional) / job.candidate.updates.dim / MOST_GAIN


@dataclass(frozen=True)
class Sufficiency:
    """What z_dyn,t alone tells of x so many frames ahead.

    Attributes:
        state: the candidate; only its newest row is known.
        raw: x in the same role: its densities are the yardstick.
        marginal: p(x_{t+k}), which the density given the state starts from.
    """

    state: Measure
    raw: Measure
    marginal: Predictor


def fit_from_state(job: Sufficiency) -> Fitted:
    """p(x_{t+k} | z_dyn,t) by the head, the training and the targets of p(x_{t+k} | x_≤t).

    Where the state does not help on validation, it is the marginal.
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
    predictor.trunk = NewestState(known.dim, job.marginal.trunk.width, params.dropout)
    repeats = max(1, -(-params.min_steps // (params.epochs * len(batches["train"]))))
    training = TrainingParams(params.lr, repeats * params.epochs)
    generator = torch.Generator().manual_seed(seed)
    fit(predictor, batches["train"], batches["validation"], training, generator)
    nll = {s: losses(predictor, of).numpy() for s, of in batches.items() if s in EVALUATED_SPLITS}
    return Fitted(predictor, mean_loss(predictor, batches["validation"]), nll)


class NewestState(nn.Module):
    """A trunk that knows the newest row and nothing before it.

    Args:
        dim: coordinates of a row.
        features: of the context that the head expects; at least as many as `dim`.
        dropout: share of hidden features dropped in training.
    """

    def __init__(self, dim: int, features: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(dim, features), nn.SiLU(), nn.Linear(features, features - dim), nn.SiLU()
        )
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Parameter(torch.zeros(features))  # it starts as the marginal

    def features(self, batch: Batch) -> Tensor:
        """(scored, features) of what is known when each scored target is predicted."""
        rows = batch.context[batch.scored]
        return torch.cat([self.dropout(self.hidden(rows)), rows], -1) * self.gate


def sufficiency(
    job: Sufficiency, raw: Measured, fitted: Fitted, split: str, bootstrap: ClipBootstrap
) -> Estimate:
    """Share of the full-context gain on x_{t+k} that the newest state keeps."""
    clip = Scored.of(job.raw.fit, split).clip
    marginal = raw.densities["marginal"].nll[split]
    kept = bootstrap.mean(marginal - fitted.nll[split], clip)
    return kept / bootstrap.mean(marginal - raw.densities["conditional"].nll[split], clip)


def validation_sufficiency(raw: Measured, fitted: Fitted) -> float:
    """The same on validation, for choices."""
    marginal, conditional = (
        raw.densities[name].validation_nll for name in ("marginal", "conditional")
    )
    return (marginal - fitted.validation_nll) / max(marginal - conditional, 1e-9)
