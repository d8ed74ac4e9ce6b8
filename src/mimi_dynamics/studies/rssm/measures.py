"""How easy a candidate for a state is, and how much of x it keeps, by the same code for all.

Ease is the gain of a candidate as a share of the gain if all but the noise floor were known
beforehand. Fidelity is the R² of x as read from the candidate.
"""

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mimi_dynamics.density.devices import on_device
from mimi_dynamics.density.fit import Density, FitSpec, FittedDensity, fit_densities
from mimi_dynamics.density.training import TrainingParams, fit
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.gains import Scored
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.latents.states import MOST_GAIN, Candidate
from mimi_dynamics.pipeline.devices import CPU, device_at
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, PredictParams

Fitted = tuple[dict[Density, FittedDensity], Tensor | None]  # densities and readings
READOUT_WIDTH = 128
READOUT_EPOCHS = 4
READOUT_BATCH = 2048
READOUT_LR = 0.004


@dataclass(frozen=True)
class Measure:
    """A measurement to make of one candidate.

    Attributes:
        candidate: see `Candidate`.
        data: the frames x from which the candidate was made, without noise.
        head: head of the estimator.
        horizon: horizon of the gain, in updates of the candidate.
        params: settings of the estimator.
        seed: seed of every fit.
        readout: whether to read x from the candidate.
        compute: where to fit, and with which number type.
    """

    candidate: Candidate
    data: Sequences
    head: str
    horizon: int
    params: PredictParams
    seed: int
    readout: bool = True
    compute: ComputeParams = PLAIN

    @property
    def fit(self) -> FitSpec:
        """The fit of the estimator, which is that of `predict`."""
        updates = self.candidate.updates
        settings = self.head, self.horizon, self.params, self.seed
        return FitSpec("real", updates, *settings, compute=self.compute)


@dataclass(frozen=True)
class Measured:
    """A candidate with the densities that were fitted to it and x as read from it.

    Attributes:
        job: the measurement.
        densities: p(s_u+k | s_≤u) as `conditional` and p(s_u+k) as `marginal`, of updates s.
        readings: (frames, dim) x as read from the state held at each frame of every split; None if
            this was not asked for.
    """

    job: Measure
    densities: dict[Density, FittedDensity]
    readings: Tensor | None

    @property
    def read(self) -> Tensor:
        """The readings of a candidate that was to be read.

        Raises:
            ValueError: it was not.
        """
        if self.readings is None:
            raise ValueError(f"{self.job.candidate.name}: x was not read from it")
        return self.readings

    def gain(self, split: str, bootstrap: ClipBootstrap) -> Estimate:
        """Give what the past of the candidate tells about it, in nats per coordinate."""
        marginal, conditional = self.densities["marginal"], self.densities["conditional"]
        difference = marginal.nll[split] - conditional.nll[split]
        mean = bootstrap.mean(difference, Scored.of(self.job.fit, split).clip)
        return mean / self.job.candidate.updates.dim

    def ease(self, split: str, bootstrap: ClipBootstrap) -> Estimate:
        """Give the gain as a share of the gain if all but the noise floor were known beforehand."""
        return self.gain(split, bootstrap) / MOST_GAIN

    def fidelity(self, split: str, bootstrap: ClipBootstrap, weights: Tensor) -> Estimate:
        """Give the R² of x as read from the candidate, with the weights of `Fidelity`.

        Args:
            split: name of the split.
            bootstrap: bootstrap draws of its clips.
            weights: (dim,) weights of coordinates.
        """
        data = self.job.data
        readings = frames_of(self.read, data, split)
        return Fidelity(data, weights).of(readings, split, bootstrap)

    @property
    def validation_gain(self) -> float:
        """What the past of the candidate tells about it on validation, in nats per update."""
        marginal, conditional = self.densities["marginal"], self.densities["conditional"]
        return marginal.validation_nll - conditional.validation_nll

    @property
    def validation_ease(self) -> float:
        """The ease on validation, by which to choose between candidates."""
        return self.validation_gain / self.job.candidate.updates.dim / MOST_GAIN


def measure(job: Measure) -> Fitted:
    """Fit the two densities, and read x from the candidate.

    Returns:
        The densities and readings of `Measured`, without the job: a process that measures would
        otherwise have to send back all frames of the job.
    """
    readings = read_frames(job) if job.readout else None
    return fit_densities(job.fit), readings


class Readout(nn.Module):
    """A network that reads x_t from the coordinates held at t, fitted by least squares.

    It has a hidden layer and a linear path.

    Args:
        state_dim: number of coordinates to read from.
        dim: number of coordinates of x.
    """

    def __init__(self, state_dim: int, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(state_dim, READOUT_WIDTH)
        self.outputs = nn.Linear(READOUT_WIDTH, dim)
        self.direct = nn.Linear(state_dim, dim, bias=False)
        nn.init.zeros_(self.direct.weight)

    def read(self, state: Tensor) -> Tensor:
        """Read (..., dim) frames x from (..., state_dim) coordinates."""
        return self.outputs(functional.silu(self.hidden(state))) + self.direct(state)

    def forward(self, batch: Batch) -> Tensor:
        """Give the (scored,) squared errors of the frames of a batch."""
        scored = batch.scored
        return (batch.target[scored] - self.read(batch.context[scored])).square().sum(-1)


def read_frames(job: Measure) -> Tensor:
    """Read (frames, dim) x from the noisy held coordinates, by a readout fitted on train."""
    seed = zlib.crc32(f"{job.seed} readout {job.candidate.name}".encode())
    torch.manual_seed(seed)
    held, data = job.candidate.held, job.data
    train, validation = (
        make_batches(held.select(split), 0, 0, READOUT_BATCH, data.select(split).frames)
        for split in ("train", "validation")
    )
    readout = Readout(held.dim, data.dim)
    training = TrainingParams(READOUT_LR, READOUT_EPOCHS, compute=job.compute)
    fit(readout, train, validation, training, torch.Generator().manual_seed(seed))
    with torch.no_grad(), on_device(readout, job.compute):
        return readout.read(held.frames.to(device_at(readout))).to(CPU)


class Fidelity:
    """The R² of x about its train mean, in whitened coordinates or weighted.

    Args:
        data: the frames x.
        weights: (dim,) weights of the squared errors of coordinates: ones for whitened coordinates,
            or the variance of each coordinate for the latents of the codec.
    """

    def __init__(self, data: Sequences, weights: Tensor) -> None:
        self.data, self.weights = data, weights
        self.mean = data.train_mean()

    def of(self, readings: Tensor, split: str, bootstrap: ClipBootstrap) -> Estimate:
        """Give the R² on the frames of one split.

        Args:
            readings: (frames, dim) x as read, for the frames of that split only.
            split: name of the split.
            bootstrap: bootstrap draws of its clips.
        """
        clips = self.data.select(split)
        total = ((clips.frames - self.mean).square() @ self.weights).numpy()
        lost = ((clips.frames - readings).square() @ self.weights).numpy()
        counts = ~clips.gated.numpy()
        clip = clips.clip_of_frame[counts]
        variance = bootstrap.mean(total[counts], clip)
        return (variance - bootstrap.mean(lost[counts], clip)) / variance


def frames_of(values: Tensor, data: Sequences, split: str) -> Tensor:
    """Give the rows of (frames, dim) values that belong to one split."""
    return values[torch.from_numpy((data.splits == split)[data.clip_of_frame])]
