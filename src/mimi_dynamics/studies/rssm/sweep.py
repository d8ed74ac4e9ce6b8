"""The whole sweep: train every model, measure every candidate, choose a model on validation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import call

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.fit import FittedDensity, evaluated_splits
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.density.training import TrainingParams
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.frontier import Point, above_frontier
from mimi_dynamics.evidence.gains import clip_bootstrap
from mimi_dynamics.evidence.surrogates import make_surrogates
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.states import make_candidate, update_index
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.rssm.baselines import VaeParams, rivals
from mimi_dynamics.studies.rssm.collapse import Diagnosis, collapse_signs, diagnose
from mimi_dynamics.studies.rssm.measures import (
    Fidelity,
    Measure,
    Measured,
    ease,
    frames_of,
    measure,
    validation_ease,
)
from mimi_dynamics.studies.rssm.sufficiency import (
    Sufficiency,
    fit_from_state,
    sufficiency,
    validation_sufficiency,
)
from mimi_dynamics.studies.rssm.training import RssmJob, Trained, encode_states, train_rssm

RAW = "raw"
RAW_SHUFFLED = "raw_shuffled"
RAW_LONG = "raw_long"  # at the longer lead
SURROGATES = ("shuffled", "linear")
Told = tuple[str, str]


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
        told: by model and raw x at some lead, what the state alone tells of x at that lead.
    """

    params: Params
    data: Sequences
    scale: Tensor
    jobs: dict[str, RssmJob]
    trained: dict[str, Trained] = field(default_factory=dict)
    rivals: dict[int, list[str]] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    told: dict[Told, tuple[Sufficiency, FittedDensity]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the clips of every split, once for all estimates."""
        draws, seed = self.params.predict.bootstrap_samples, self.params.seed
        splits = ["validation", *evaluated_splits(self.data)]
        self.bootstraps = {s: clip_bootstrap(self.data, s, draws, seed) for s in splits}
        self.weights = {"whitened": torch.ones(self.data.dim), "latent": self.scale.square()}

    def job(
        self, name: str, coordinates: Tensor, *, readout: bool = True, lead: int = 1
    ) -> Measure:
        """What to measure of a candidate given by its coordinates at every frame."""
        settings, seed = self.params.rssm, self.params.seed
        estimator = self.params.predict.model_copy(update={"width": settings.estimator_width})
        stride = settings.state_stride
        candidate = make_candidate(name, self.data, coordinates, stride, seed)
        return Measure(candidate, self.data, self.params.head, lead, estimator, seed, readout)

    def add(self, jobs: Sequence[Measure], states: Sequence[Told] = ()) -> None:
        """Measure candidates, and what states alone tell of x, on all cores.

        Args:
            jobs: of candidates.
            states: name of a measured state, and of raw x measured at the lead in question.
        """
        told = [
            Sufficiency(self.measures[s], self.measures[x], self._marginal(x)) for s, x in states
        ]
        work = [partial(measure, job) for job in jobs]
        results = run_parallel(
            call, work + [partial(fit_from_state, job) for job in told], "measure"
        )
        for job, found in zip(jobs, results, strict=False):
            self.measures[job.candidate.name], self.measured[job.candidate.name] = job, found
        for names, job, found in zip(states, told, results[len(jobs) :], strict=True):
            self.told[names] = job, found

    def _marginal(self, raw: str) -> Predictor:
        return self.measured[raw].densities["marginal"].predictor

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
        job, fitted = self.told[name, raw]
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
            validation_sufficiency(self.measured[RAW], self.told[name, RAW][1]),
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

    made = make_surrogates(data, params.predict.linear_order, params.seed)
    jobs = [
        sweep.job(RAW, data.frames),
        sweep.job(RAW_SHUFFLED, made["shuffled"].frames, readout=False),
        sweep.job(RAW_LONG, data.frames, readout=False, lead=settings.long_lead),
    ]
    for dim, found in zip(settings.state_dims, results[len(models) :], strict=True):
        named = {f"dim{dim}_{rival}": values for rival, values in found.items()}
        sweep.rivals[dim] = [RAW, *named]
        jobs += [sweep.job(name, values) for name, values in named.items()]
    for name, trained in sweep.trained.items():
        jobs.append(sweep.job(name, encode_states(trained.model, data)))
    sweep.add(jobs)
    sweep.add([], [(name, RAW) for name in sweep.jobs])

    chosen = sweep.choose()
    model = sweep.trained[chosen].model
    of_state = {row: encode_states(model, made[row]) for row in SURROGATES}
    jobs = [sweep.job(row, states, readout=False) for row, states in of_state.items()]
    sweep.add(jobs, [(chosen, RAW_LONG)])
    return sweep, chosen
