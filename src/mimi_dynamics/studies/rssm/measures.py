"""How easy a candidate for a state is, and how much of x it keeps: one code path for all."""

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mimi_dynamics.density.fit import FitSpec, FittedDensity, fit_densities
from mimi_dynamics.density.training import TrainingParams, fit
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.gains import Scored
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.latents.states import MOST_GAIN, Candidate
from mimi_dynamics.pipeline.params import PredictParams

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
    def fit(self) -> FitSpec:
        """The job of the estimator, the one of `predict`."""
        updates = self.candidate.updates
        return FitSpec("real", updates, self.head, self.horizon, self.params, self.seed)


@dataclass(frozen=True)
class Measured:
    """A candidate with the densities fitted to it and what of x was read from it.

    Attributes:
        job: what was asked for.
        densities: p(s_u+k | s_≤u) as `conditional` and p(s_u+k) as `marginal`, of updates s.
        readings: (frames, dim) x as read from the state held at each frame of every split; None
            if it was not asked for.
    """

    job: Measure
    densities: dict[str, FittedDensity]
    readings: Tensor | None

    def gain(self, split: str, bootstrap: ClipBootstrap) -> Estimate:
        """Nats per coordinate that the past of the candidate tells about it."""
        marginal, conditional = self.densities["marginal"], self.densities["conditional"]
        difference = marginal.nll[split] - conditional.nll[split]
        mean = bootstrap.mean(difference, Scored.of(self.job.fit, split).clip)
        return mean / self.job.candidate.updates.dim

    def ease(self, split: str, bootstrap: ClipBootstrap) -> Estimate:
        """The gain as a share of what it would be if all but the noise floor were known before."""
        return self.gain(split, bootstrap) / MOST_GAIN

    def fidelity(self, split: str, bootstrap: ClipBootstrap, weights: Tensor) -> Estimate:
        """R² of x as read from the candidate; weights as of `Fidelity`."""
        data = self.job.data
        readings = frames_of(self.readings, data, split)
        return Fidelity(data, weights).of(readings, split, bootstrap)

    @property
    def validation_gain(self) -> float:
        """Nats per update that the past of the candidate tells about it, on validation."""
        marginal, conditional = self.densities["marginal"], self.densities["conditional"]
        return marginal.validation_nll - conditional.validation_nll

    @property
    def validation_ease(self) -> float:
        """The ease on validation, for choices."""
        return self.validation_gain / self.job.candidate.updates.dim / MOST_GAIN


def measure(job: Measure) -> tuple[dict[str, FittedDensity], Tensor | None]:
    """Fit the two densities, and read x from the candidate: what `Measured` adds to the job.

    The job is left out, as all its frames would be sent back by the process that measures it.
    """
    readings = read_frames(job) if job.readout else None
    return fit_densities(job.fit), readings


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
        """Frames x of shape (..., dim) as read from (..., state_dim) coordinates."""
        return self.outputs(functional.silu(self.hidden(state))) + self.direct(state)

    def forward(self, batch: Batch) -> Tensor:
        """(scored,) squared errors of the frames of a batch."""
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
    """Rows of (frames, dim) values that belong to one split."""
    return values[torch.from_numpy((data.splits == split)[data.clip_of_frame])]
