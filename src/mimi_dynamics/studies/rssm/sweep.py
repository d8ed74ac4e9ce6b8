"""Training of every model, measurement of every candidate, and choice of a model on validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.devices import on_device, run_fits
from mimi_dynamics.density.fit import FittedDensity, evaluated_splits
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.frontier import Point, above_frontier
from mimi_dynamics.evidence.gains import clip_bootstrap
from mimi_dynamics.evidence.surrogates import make_surrogates
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.states import make_candidate, update_index
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.rssm.baselines import rivals
from mimi_dynamics.studies.rssm.collapse import Diagnosis, diagnose
from mimi_dynamics.studies.rssm.measures import Fidelity, Fitted, Measure, Measured, measure
from mimi_dynamics.studies.rssm.sufficiency import FromState, Sufficiency, fit_from_state
from mimi_dynamics.studies.rssm.training import (
    RssmJob,
    Trained,
    conditions,
    encode_states,
    train_rssm,
)

RAW = "raw"
RAW_SHUFFLED = "raw_shuffled"
RAW_LONG = "raw_long"  # raw x at the longer lead
SURROGATES = ("shuffled", "linear")


@dataclass
class Sweep:
    """Everything that was trained and measured, and the results that follow from it.

    Attributes:
        params: all settings.
        data: the frames x, whitened.
        scale: (dim,) standard deviation of each coordinate in the latents of the codec.
        jobs: the trainings of models, by name.
        trained: the trained models, by the same names.
        rivals: names of the rivals, including raw x, by state dimension.
        measured: measurements of rivals, states and surrogates, by name of the candidate.
        sufficiencies: sufficiency by name of the model and by name of raw x at some lead.
    """

    params: Params
    data: Sequences
    scale: Tensor
    jobs: dict[str, RssmJob]
    trained: dict[str, Trained] = field(default_factory=dict)
    rivals: dict[int, list[str]] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    sufficiencies: dict[tuple[str, str], Sufficiency] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the bootstrap of the clips of every split, once for all estimates."""
        draws, seed = self.params.predict.bootstrap_samples, self.params.seed
        splits = ["validation", *evaluated_splits(self.data)]
        self.bootstraps = {s: clip_bootstrap(self.data, s, draws, seed) for s in splits}
        self.weights = {"whitened": torch.ones(self.data.dim), "latent": self.scale.square()}
        self.diagnoses: dict[tuple[str, str], Diagnosis] = {}

    def job(
        self, name: str, coordinates: Tensor, *, readout: bool = True, lead: int = 1
    ) -> Measure:
        """Give the measurement of a candidate.

        Args:
            name: name of the candidate.
            coordinates: (frames, dim) its coordinates at every frame.
            readout: whether to read x from it.
            lead: horizon in updates.
        """
        settings, seed = self.params.rssm, self.params.seed
        estimator = self.params.predict.model_copy(update={"width": settings.estimator_width})
        stride = settings.state_stride
        return Measure(
            candidate=make_candidate(name, self.data, coordinates, stride, seed),
            data=self.data,
            head=self.params.head,
            horizon=lead,
            params=estimator,
            seed=seed,
            readout=readout,
            compute=self.params.compute,
        )

    def add(
        self,
        jobs: Sequence[Measure],
        states: Sequence[tuple[str, str]] = (),
        first: Sequence[Callable[[], Any]] = (),
    ) -> list[Any]:
        """Measure candidates, and what states alone tell about x, on all cores or on a GPU.

        Args:
            jobs: measurements of candidates.
            states: pairs of the name of a measured state and the name of raw x at the lead to use.
            first: longer work to begin with, so that no core waits for it.

        Returns:
            What came of `first`.
        """
        from_state = [
            FromState(self.measured[state].job, raw.job, raw.densities["marginal"].network)
            for state, raw in ((state, self.measured[raw]) for state, raw in states)
        ]
        work: list[Callable[[], Any]] = [
            *first,
            *(partial(measure, job) for job in jobs),
            *(partial(fit_from_state, job) for job in from_state),
        ]
        done = run_fits(work, "train" if first else "measure", self.params.compute)
        before, results = done[: len(first)], done[len(first) :]
        for job, found in zip(jobs, cast("list[Fitted]", results[: len(jobs)]), strict=True):
            self.measured[job.candidate.name] = Measured(job, *found)
        from_states = cast("list[FittedDensity]", results[len(jobs) :])
        for (state, raw), fitted in zip(states, from_states, strict=True):
            self.sufficiencies[state, raw] = Sufficiency(self.measured[raw], fitted)
        return before

    def held_states(self, states: Tensor) -> Tensor:
        """Hold states between updates, so that every frame has the newest update.

        Args:
            states: (frames, dim) states at every frame.

        Returns:
            (frames, dim) held states.
        """
        updates, newest = update_index(self.data.lengths, self.params.rssm.state_stride)
        return states[torch.from_numpy(updates[newest])]

    def ease(self, name: str, split: str) -> Estimate:
        """Give the ease of a candidate."""
        return self.measured[name].ease(split, self.bootstraps[split])

    def fidelity(self, name: str, split: str, space: str = "whitened") -> Estimate:
        """Give the R² of x read from a candidate.

        Args:
            name: name of the candidate.
            split: name of the split.
            space: `whitened`, or `latent` for the latents of the codec.
        """
        return self.measured[name].fidelity(split, self.bootstraps[split], self.weights[space])

    def full_fidelity(self, name: str, split: str, space: str = "whitened") -> Estimate:
        """Give the R² of x reconstructed from z_dyn and z_rec of a model.

        Args:
            name: name of the model.
            split: name of the split.
            space: `whitened`, or `latent` for the latents of the codec.
        """
        readings = self.diagnosis(name, split).readings
        fidelity = Fidelity(self.data, self.weights[space])
        return fidelity.of(readings, split, self.bootstraps[split])

    def sufficiency(self, name: str, split: str, raw: str = RAW) -> Estimate:
        """Give the share of the gain on x that the newest state keeps, at the lead of `raw`.

        Args:
            name: name of the model.
            split: name of the split.
            raw: name of raw x, measured at the lead to use.
        """
        return self.sufficiencies[name, raw].share(split, self.bootstraps[split])

    def diagnosis(self, name: str, split: str) -> Diagnosis:
        """Diagnose how a model uses its state; the result is kept for later calls."""
        if (name, split) not in self.diagnoses:
            model, held = self.trained[name].model, self.measured[name].job.candidate.held
            bootstrap, seed = self.bootstraps[split], self.params.seed
            with on_device(model, self.params.compute):
                given = conditions(model, self.data, held)
                found = diagnose(model, self.data, given, split, bootstrap, seed)
            self.diagnoses[name, split] = found
        return self.diagnoses[name, split]

    def above_frontier(self, name: str, split: str, space: str = "whitened") -> Estimate:
        """Give the ease of a model minus that of its rivals at the same fidelity.

        Args:
            name: name of the model.
            split: name of the split.
            space: `whitened`, or `latent` for the latents of the codec.
        """
        *others, own = [
            (self.fidelity(n, split, space), self.ease(n, split)) for n in self._compared(name)
        ]
        return above_frontier(others, own)

    def signs(self, name: str) -> dict[str, int]:
        """Find signs of collapse on validation, because they influence the choice of a model."""
        return self.diagnosis(name, "validation").signs_of_collapse(
            self.jobs[name].budget,
            self.fidelity(name, "validation").value,
            self.sufficiencies[name, RAW].validation_share,
        )

    def collapsed(self, name: str) -> bool:
        """Tell whether a model shows any sign of collapse."""
        return any(self.signs(name).values())

    def choose(self) -> str:
        """Choose the model highest above the frontier on validation.

        Models without signs of collapse are preferred, if there are any.
        """
        sound = [name for name in self.jobs if not self.collapsed(name)]
        return max(sound or self.jobs, key=self._validation_height)

    def _compared(self, name: str) -> list[str]:
        return [*self.rivals[self.jobs[name].state_dim], name]

    def _validation_height(self, name: str) -> float:
        *others, own = [self._validation_point(n) for n in self._compared(name)]
        return above_frontier(others, own).value

    def _validation_point(self, name: str) -> Point:
        fidelity = self.fidelity(name, "validation").value
        ease = self.measured[name].validation_ease
        return Estimate(fidelity, np.empty(0)), Estimate(ease, np.empty(0))


def run_sweep(params: Params, data: Sequences, scale: Tensor) -> tuple[Sweep, str]:
    """Train and measure all models, rivals and surrogates.

    Args:
        params: all settings.
        data: the frames x, whitened.
        scale: (dim,) standard deviation of each coordinate in the latents of the codec.

    Returns:
        The sweep, and the name of the chosen model.

    Raises:
        InputError: if a state has more coordinates than the frames.
    """
    settings, compute = params.rssm, params.compute
    models = [
        RssmJob(data, dim, budget, settings, params.predict.min_steps, params.seed, compute)
        for dim in settings.state_dims
        for budget in settings.budgets
    ]
    sweep = Sweep(params, data, scale, {job.name: job for job in models})
    rest = settings, params.seed, compute
    first = max(NEXT_FRAME, params.predict.warmup_frames) * settings.state_stride
    made = make_surrogates(data, first, params.predict.linear_order, params.seed)
    raw = [
        sweep.job(RAW, data.frames),
        sweep.job(RAW_SHUFFLED, made["shuffled"].frames, readout=False),
        sweep.job(RAW_LONG, data.frames, readout=False, lead=settings.long_lead),
    ]
    training: list[Callable[[], Any]] = [
        *(partial(train_rssm, job) for job in models),
        *(partial(rivals, data, dim, *rest) for dim in settings.state_dims),
    ]
    results = sweep.add(raw, first=training)
    sweep.trained = dict(zip(sweep.jobs, results[: len(models)], strict=True))
    by_dim: list[dict[str, Tensor]] = results[len(models) :]

    jobs = []
    for dim, coordinates in zip(settings.state_dims, by_dim, strict=True):
        named = {f"dim{dim}_{rival}": values for rival, values in coordinates.items()}
        sweep.rivals[dim] = [RAW, *named]
        jobs += [sweep.job(name, values) for name, values in named.items()]
    for name, trained in sweep.trained.items():
        jobs.append(sweep.job(name, encode_states(trained.model, data, compute)))
    sweep.add(jobs)
    sweep.add([], [(name, RAW) for name in sweep.jobs])

    chosen = sweep.choose()
    model = sweep.trained[chosen].model
    of_state = {row: encode_states(model, made[row], compute) for row in SURROGATES}
    jobs = [sweep.job(row, states, readout=False) for row, states in of_state.items()]
    sweep.add(jobs, [(chosen, RAW_LONG)])
    return sweep, chosen
