"""The whole sweep: train every model, measure every candidate, choose a model on validation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import call

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.estimation import Fitted, evaluated_splits
from mimi_dynamics.gains import clip_bootstrap
from mimi_dynamics.parallel import run_parallel
from mimi_dynamics.params import Params
from mimi_dynamics.rssm.diagnosis import Diagnosis, collapse_signs, diagnose
from mimi_dynamics.rssm.evaluation import (
    Fidelity,
    Measure,
    Measured,
    Sufficiency,
    ease,
    fit_from_state,
    frames_of,
    measure,
    sufficiency,
    validation_ease,
    validation_sufficiency,
)
from mimi_dynamics.rssm.frontier import Point, above_frontier
from mimi_dynamics.rssm.rivals import VaeParams, rivals
from mimi_dynamics.rssm.training import RssmJob, Trained, encode_states, train_rssm
from mimi_dynamics.scoring import Estimate
from mimi_dynamics.sequences import Sequences
from mimi_dynamics.states import make_candidate, update_index
from mimi_dynamics.surrogates import make_surrogates
from mimi_dynamics.training import TrainingParams

RAW = "raw"
RAW_SHUFFLED = "raw_shuffled"
SURROGATES = ("shuffled", "linear")


@dataclass
class Sweep:
    """All that was trained and measured, and questions to it.

    Attributes:
        params: all settings.
        data: the frames x, whitened.
        scale: (dim,) standard deviation of each coordinate in the latents of the codec.
        jobs: the models, by name.
        trained: by the names of `jobs`.
        rivals: names by state dimension, raw x among them.
        measures: what was measured, by candidate.
        measured: what was found, by candidate.
        told: by model, what its state alone tells of the next x.
    """

    params: Params
    data: Sequences
    scale: Tensor
    jobs: dict[str, RssmJob]
    trained: dict[str, Trained] = field(default_factory=dict)
    rivals: dict[int, list[str]] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    told: dict[str, tuple[Sufficiency, Fitted]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the clips of every split, once for all estimates."""
        draws, seed = self.params.predict.bootstrap_samples, self.params.seed
        splits = ["validation", *evaluated_splits(self.data)]
        self.bootstraps = {s: clip_bootstrap(self.data, s, draws, seed) for s in splits}
        self.weights = {"whitened": torch.ones(self.data.dim), "latent": self.scale.square()}

    def add(self, coordinates: dict[str, Tensor], *, readout: bool = True, lead: int = 1) -> None:
        """Measure candidates, on all cores, from their coordinates at every frame."""
        settings, seed = self.params.rssm, self.params.seed
        estimator = self.params.predict.model_copy(update={"width": settings.estimator_width})
        jobs = {
            name: Measure(
                make_candidate(name, self.data, values, settings.state_stride, seed),
                self.data,
                self.params.head,
                lead,
                estimator,
                seed,
                readout,
            )
            for name, values in coordinates.items()
        }
        found = run_parallel(measure, jobs.values(), "measure")
        self.measures |= jobs
        self.measured |= dict(zip(jobs, found, strict=True))

    def tell(self, names: Sequence[str], raw: str) -> None:
        """Fit what states alone tell of x, at the lead of `raw`, a candidate that was measured."""
        marginal = self.measured[raw].densities["marginal"].predictor
        jobs = [Sufficiency(self.measures[name], self.measures[raw], marginal) for name in names]
        found = run_parallel(fit_from_state, jobs, "sufficiency")
        for name, job, fitted in zip(names, jobs, found, strict=True):
            self.told[f"{name}@{raw}"] = job, fitted

    def held_states(self, states: Tensor) -> Tensor:
        """(frames, dim) at every frame the newest update, of states at every frame."""
        updates, newest = update_index(self.data.lengths, self.params.rssm.state_stride)
        return states[torch.from_numpy(updates[newest])]

    def ease(self, name: str, split: str) -> Estimate:
        """Of a candidate."""
        return ease(self.measures[name], self.measured[name], split, self.bootstraps[split])

    def fidelity(self, name: str, split: str, space: str = "whitened") -> Estimate:
        """R² of x read from a candidate."""
        readings = frames_of(self.measured[name].readings, self.data, split)
        fidelity = Fidelity(self.data, self.weights[space])
        return fidelity.of(readings, split, self.bootstraps[split])

    def full_fidelity(self, diagnosis: Diagnosis, split: str, space: str = "whitened") -> Estimate:
        """R² of x reconstructed from z_dyn and z_rec."""
        fidelity = Fidelity(self.data, self.weights[space])
        return fidelity.of(diagnosis.readings, split, self.bootstraps[split])

    def sufficiency(self, name: str, split: str, raw: str = RAW) -> Estimate:
        """Share of the gain on x that the newest state of a model keeps, at the lead of `raw`."""
        job, fitted = self.told[f"{name}@{raw}"]
        return sufficiency(job, self.measured[raw], fitted, split, self.bootstraps[split])

    def diagnosis(self, name: str, split: str) -> Diagnosis:
        """What is behind the numbers of a model."""
        model, held = self.trained[name].model, self.measures[name].candidate.held
        bootstrap = self.bootstraps[split]
        return diagnose(model, self.data, held, split, bootstrap, self.params.seed)

    def above_frontier(self, name: str, split: str, space: str = "whitened") -> Estimate:
        """Ease of a model minus that of its rivals at the same fidelity."""
        names = [*self.rivals[self.jobs[name].state_dim], name]
        *others, own = [(self.fidelity(n, split, space), self.ease(n, split)) for n in names]
        return above_frontier(others, own)

    def signs(self, name: str) -> dict[str, int]:
        """Signs of collapse, on validation: they take part in the choice."""
        return collapse_signs(
            self.diagnosis(name, "validation"),
            self.jobs[name].budget,
            self.fidelity(name, "validation").value,
            validation_sufficiency(self.measured[RAW], self.told[f"{name}@{RAW}"][1]),
        )

    def choose(self) -> str:
        """The model highest above the frontier on validation; one without collapse if there is."""
        sound = [name for name in self.jobs if not any(self.signs(name).values())]
        return max(sound or self.jobs, key=self._validation_height)

    def _validation_height(self, name: str) -> float:
        *others, own = [
            self._validation_point(n) for n in [*self.rivals[self.jobs[name].state_dim], name]
        ]
        return above_frontier(others, own).value

    def _validation_point(self, name: str) -> Point:
        found = self.fidelity(name, "validation").value
        easy = validation_ease(self.measures[name], self.measured[name])
        return tuple(Estimate(value, np.empty(0)) for value in (found, easy))


def run_sweep(params: Params, data: Sequences, scale: Tensor) -> tuple[Sweep, str]:
    """Train and measure everything; returns it all, and the name of the chosen model."""
    settings = params.rssm
    models = [
        RssmJob(data, dim, budget, settings, params.predict.min_steps, params.seed)
        for dim in settings.state_dims
        for budget in settings.budgets
    ]
    sweep = Sweep(params, data, scale, {job.name: job for job in models})
    training = TrainingParams(settings.lr, settings.epochs)
    vaes = [
        VaeParams(dim, settings.width, training, settings.batch_frames, params.seed)
        for dim in settings.state_dims
    ]
    work = [partial(train_rssm, job) for job in models] + [partial(rivals, data, v) for v in vaes]
    results = run_parallel(call, work, "train")
    sweep.trained = dict(zip(sweep.jobs, results, strict=False))

    coordinates = {RAW: data.frames}
    for dim, found in zip(settings.state_dims, results[len(models) :], strict=True):
        named = {f"dim{dim}_{rival}": values for rival, values in found.items()}
        sweep.rivals[dim] = [RAW, *named]
        coordinates |= named
    states = {name: encode_states(sweep.trained[name].model, data) for name in sweep.jobs}
    sweep.add(coordinates | states)
    sweep.tell(list(sweep.jobs), RAW)
    chosen = sweep.choose()
    _question(sweep, chosen, states[chosen])
    return sweep, chosen


def _question(sweep: Sweep, chosen: str, states: Tensor) -> None:
    """Measure what would be easy about the chosen state without dynamics, and further ahead."""
    params = sweep.params
    made = make_surrogates(sweep.data, params.predict.linear_order, params.seed)
    model = sweep.trained[chosen].model
    of_state = {row: encode_states(model, made[row]) for row in SURROGATES}
    sweep.add(of_state | {RAW_SHUFFLED: made["shuffled"].frames}, readout=False)
    sweep.add({long_raw(params): sweep.data.frames}, readout=False, lead=params.rssm.long_lead)
    sweep.tell([chosen], long_raw(params))


def long_raw(params: Params) -> str:
    """Name of raw x at the longer lead."""
    return f"{RAW}_{params.rssm.long_lead}"
