"""From fitted densities to gains: every row of data, every subset of frames, with intervals.

A row is the real data or one of its surrogates. The gain of a row is the NLL of the density without
the past (the marginal) minus the NLL of the density given the past (the conditional). Of every row
that was fitted by a head and by the densities without a network there is a stack, too: the
conditional one mixes all of them and their marginals, the marginal one mixes the latter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.density.fit import (
    LINEAR_BASELINE,
    MIXTURE,
    SWITCHING,
    THRESHOLD,
    WITH_MARGINAL,
    WITHOUT_NETWORK,
    FitSpec,
    FittedDensity,
    batches_of,
    fit_densities,
)
from mimi_dynamics.density.stacking import stack
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.distributed import as_main_process

STACK = "stack"  # stands for the mixture of densities wherever a head is named
POINT_HEAD = "gaussian"  # its mean is the maximum-likelihood point forecast
Fits = dict[tuple[str, str, str], FittedDensity]  # keyed by row, head and density
Frames = Literal["all", "voiced", "silent"]


def fit_all(template: FitSpec, rows: Mapping[str, Sequences], heads: list[str]) -> tuple[Fits, str]:
    """Fit every head to the real data, then the best one to every surrogate and to Δx, and stack.

    The stack of every row mixes the best head with the densities without a network, and with the
    marginals of all of them.

    Args:
        template: settings shared by all fits.
        rows: the data by name, including `real`.
        heads: the heads to try, besides `LINEAR_BASELINE`.

    Returns:
        All fits and stacks, and the name of the head with the lowest conditional validation NLL on
        real data.
    """
    jobs = [_fit(template, rows, "real", head) for head in [*heads, LINEAR_BASELINE]]
    # The point forecast needs the Gaussian head, on shuffled frames too, whichever head is best.
    points = [_fit(template, rows, row, POINT_HEAD) for row in ("real", "shuffled")]
    fits = fit_many(jobs + points)
    best = as_main_process(best_head(fits, "real", heads))
    jobs = [_fit(template, rows, row, head) for row in rows for head in experts(best)]
    deltas = [replace(job, delta=True) for job in jobs]
    missing = [job for job in jobs if (job.row, job.head, "conditional") not in fits]
    fits |= fit_many(missing + deltas)
    return fits | stacks(fits, best), best


def stacks(fits: Fits, head: str) -> Fits:
    """Stack the fits by one head and by those of `WITHOUT_NETWORK`, for every row that has both.

    Args:
        fits: all fits.
        head: name of the head.

    Returns:
        The stacks, as fits of a head named `STACK`.
    """
    stacked: Fits = {}
    for row in dict.fromkeys(row for row, of, _ in fits if of == LINEAR_BASELINE):
        marginals, given_past, changes = (
            {of: fits[row, of, density] for of in names if (row, of, density) in fits}
            for density, names in (
                ("marginal", (head, *WITH_MARGINAL)),
                ("conditional", experts(head)),
                ("delta_marginal", (head, *WITH_MARGINAL)),
            )
        )
        if head not in given_past:
            continue
        blind = {f"{of} marginal": fitted for of, fitted in marginals.items()}
        stacked[row, STACK, "marginal"] = stack(marginals)
        stacked[row, STACK, "conditional"] = stack(given_past | blind)
        if head in changes:
            stacked[row, STACK, "delta_marginal"] = stack(changes)
    return stacked


def experts(head: str) -> tuple[str, ...]:
    """List the densities that are stacked: those of a head, and those without a network."""
    return head, *WITHOUT_NETWORK


def best_head(fits: Fits, row: str, heads: list[str]) -> str:
    """Find the head with the lowest conditional NLL on the validation split of one row of data.

    Args:
        fits: all fits.
        row: name of the data.
        heads: names of the heads to compare.
    """
    return min(heads, key=lambda head: fits[row, head, "conditional"].validation_nll)


def _fit(template: FitSpec, rows: Mapping[str, Sequences], row: str, head: str) -> FitSpec:
    return replace(template, row=row, sequences=rows[row], head=head)


def fit_many(jobs: list[FitSpec]) -> Fits:
    """Run fits as `run_fits` does, each only once even if it is requested twice."""
    return fit_trainings([jobs])[0]


def fit_trainings(trainings: Sequence[list[FitSpec]]) -> list[Fits]:
    """Run the fits of several trainings together, so that all cores are busy until the end.

    Args:
        trainings: the fits of each training, which differ from training to training in their seeds.

    Returns:
        The fits of each training, in the order of `trainings`.
    """
    ordered = [(number, job) for number, jobs in enumerate(trainings) for job in in_order(jobs)]
    compute = ordered[0][1].compute
    fitted = run_fits([partial(fit_densities, job) for _, job in ordered], "fit", compute)
    fits: list[Fits] = [{} for _ in trainings]
    for (number, job), results in zip(ordered, fitted, strict=True):
        fits[number] |= {(job.row, job.head, density): found for density, found in results.items()}
    return fits


def in_order(jobs: list[FitSpec]) -> list[FitSpec]:
    """Give each fit once: those on x, then those on Δx, and of both kinds the longest first.

    Flows take the longest and closed forms almost no time, so cores are busy until the end. A head
    of which nothing is known here may take as long as a flow.
    """
    order = (
        "flow",
        "autoregressive",
        SWITCHING,
        "mdn",
        MIXTURE,
        THRESHOLD,
        "gaussian",
        LINEAR_BASELINE,
    )
    rank = {head: place for place, head in enumerate(order)}
    unique = {(job.delta, job.head, job.row): job for job in jobs}
    return sorted(unique.values(), key=lambda job: (job.delta, rank.get(job.head, 0), job.row))


@dataclass(frozen=True)
class Scored:
    """The scored frames of one split of one row of data.

    Attributes:
        clip: (scored,) index of the clip within the split.
        voiced: (scored,) whether each frame is voiced.
    """

    clip: np.ndarray
    voiced: np.ndarray

    @classmethod
    def of(cls, job: FitSpec, split: str) -> "Scored":
        """Find the frames on which `job` is scored, in the order of its NLLs."""
        sequences = job.sequences.select(split)
        frame = torch.cat([batch.frame for batch in batches_of(job, split)]).numpy()
        return cls(sequences.clip_of_frame[frame], sequences.voiced.numpy()[frame])

    def of_kind(self, frames: Frames) -> np.ndarray:
        """Tell which of the scored frames are of a kind, as (scored,) bool."""
        every = np.full(len(self.voiced), fill_value=True)
        return {"all": every, "voiced": self.voiced, "silent": ~self.voiced}[frames]


class Gains:
    """Gains of several rows of data over the same clips, so that they can be compared in pairs.

    Args:
        template: settings shared by all fits.
        rows: the data by name.
        fits: the fits of `fit_all`.
        split: `test` or `test_voice`.
        bootstrap: bootstrap draws of the clips of that split.
    """

    def __init__(
        self,
        template: FitSpec,
        rows: Mapping[str, Sequences],
        fits: Fits,
        split: str,
        bootstrap: ClipBootstrap,
    ) -> None:
        self.fits, self.split, self.bootstrap = fits, split, bootstrap
        jobs = {name: replace(template, sequences=data) for name, data in rows.items()}
        self.scored = {name: Scored.of(job, split) for name, job in jobs.items()}
        self.dim = template.sequences.dim
        self.lead_ms = template.sequences.milliseconds(template.horizon)

    def has(self, frames: Frames) -> bool:
        """Tell whether frames of a kind are scored in every row, so that they have gains."""
        return all(scored.of_kind(frames).any() for scored in self.scored.values())

    def nll(self, row: str, head: str, density: str, frames: Frames = "all") -> Estimate:
        """Give the mean NLL in nats per dimension, of all scored frames or of some of them.

        Args:
            row: name of the data.
            head: name of the head.
            density: `conditional`, `marginal` or `delta_marginal`.
            frames: which frames to average: all, voiced or silent ones.
        """
        values = self.fits[row, head, density].nll[self.split]
        scored = self.scored[row]
        kept = scored.of_kind(frames)
        return self.bootstrap.mean(values[kept], scored.clip[kept]) / self.dim

    def gain(self, row: str, head: str, *, delta: bool = False, frames: Frames = "all") -> Estimate:
        """Give the NLL of the marginal minus that of the conditional, in nats per dimension.

        Args:
            row: name of the data.
            head: name of the head.
            delta: whether the gain is that on Δx.
            frames: which frames to average: all, voiced or silent ones.
        """
        marginal = self.nll(row, head, "delta_marginal" if delta else "marginal", frames)
        return marginal - self.nll(row, head, "conditional", frames)

    def dynamic_gain(self, head: str, *, delta: bool = False, frames: Frames = "all") -> Estimate:
        """Give the gain on real data beyond that on shuffled frames: the evidence for dynamics."""
        real = self.gain("real", head, delta=delta, frames=frames)
        return real.beyond(self.gain("shuffled", head, delta=delta, frames=frames))


def clip_bootstrap(sequences: Sequences, split: str, samples: int, seed: int) -> ClipBootstrap:
    """Draw the bootstrap of one split's clips, which all of its estimates share.

    Args:
        sequences: the data, whose clips are counted.
        split: name of the split.
        samples: number of draws.
        seed: seed of the draws.
    """
    return ClipBootstrap(int((sequences.splits == split).sum()), samples, seed)
