"""The evidence on bet 2: how much more dynamics a state has than the best of its rivals.

Dynamic ease is the ease of a state beyond that of the same state of frames shuffled within each
clip. Kind, size and budget of the state, and the rival that it is compared with, are chosen on
validation; then both are trained several times anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.intervals import TrainedEstimate
from mimi_dynamics.evidence.surrogates import shuffled
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.params import Params, StateKind
from mimi_dynamics.studies.rssm.baselines import Encode, fit_rivals
from mimi_dynamics.studies.rssm.linear_states import fit_linear_states
from mimi_dynamics.studies.rssm.rates import bits_per_s, rates, state_innovation
from mimi_dynamics.studies.rssm.sweep import RAW, Sweep
from mimi_dynamics.studies.rssm.training import RssmJob, encode_states, train_rssm

# Sections of params.yaml on which the study depends.
SECTIONS = ("bet2_study", "head", "latents", "predict", "rssm", "seed")
SHUFFLED = "_shuffled"  # stands behind the name of what was made of shuffled frames
PCA = "pca"


@dataclass(frozen=True)
class Evidence:
    """What the study found.

    Attributes:
        chosen: name of the state.
        rival: name of the rival that counts, `RAW` or one of those of `rivals`.
        counted: rivals that keep as much of x as the state, and raw x; of these the one that is
            easiest on validation is `rival`.
        search: the first training of every state.
        rivals: the chosen state beside every rival, with the seed of `search`.
        trainings: the chosen state, its rival, raw x and components, by every seed.
    """

    chosen: str
    rival: str
    counted: tuple[str, ...]
    search: Sweep
    rivals: Sweep
    trainings: tuple[Sweep, ...]


def find_evidence(params: Params, data: Sequences, scale: Tensor) -> Evidence:
    """Choose a state and its rival on validation, and train both anew with other seeds.

    Args:
        params: all settings.
        data: the frames x, whitened.
        scale: (dim,) standard deviation of each coordinate in the latents of the codec.
    """
    study = params.bet2_study
    models = list(product(study.kinds, study.state_dims, study.budgets))
    search = trial(params, data, scale, models, {})
    chosen = choose(search)
    best = search.jobs[chosen]
    model, dim = (best.kind, best.state_dim, best.budget), best.state_dim
    made = all_rivals(params, data, dim)
    rivals = trial(params, data, scale, [model], made)
    counted, rival = choose_rival(rivals, chosen, list(made))
    trainings = [rivals]
    for number in range(1, study.trainings):
        again = params.model_copy(update={"seed": params.seed + number})
        fitted = all_rivals(again, data, dim)
        kept = {name: fitted[name] for name in {rival, PCA} if name in fitted}
        found = trial(again, data, scale, [model], kept)
        found.bootstraps = rivals.bootstraps  # draws of clips are the same for all trainings
        trainings.append(found)
    return Evidence(chosen, rival, counted, search, rivals, tuple(trainings))


def all_rivals(params: Params, data: Sequences, dim: int) -> dict[str, Encode]:
    """Fit all rivals of a dimension to train, but for raw x, which is no fit."""
    plain = fit_rivals(data, dim, params.rssm, params.seed, params.compute)
    return plain | fit_linear_states(data, dim)


def trial(
    params: Params,
    data: Sequences,
    scale: Tensor,
    models: Sequence[tuple[StateKind, int, float]],
    rivals: Mapping[str, Encode],
) -> Sweep:
    """Train states, and measure them, raw x and rivals, each on shuffled frames too.

    Args:
        params: all settings, with the seed of this trial.
        data: the frames x, whitened.
        scale: (dim,) standard deviation of each coordinate in the latents of the codec.
        models: kind, size and budget of each state.
        rivals: what gives the coordinates of each rival.
    """
    settings, compute = params.rssm, params.compute
    jobs = [
        RssmJob(data, dim, budget, settings, params.predict.min_steps, params.seed, compute, kind)
        for kind, dim, budget in models
    ]
    sweep = Sweep(params, data, scale, {job.name: job for job in jobs})
    trained = run_fits([partial(train_rssm, job) for job in jobs], "train", compute)
    sweep.trained = dict(zip(sweep.jobs, trained, strict=True))
    states = {
        name: partial(encode_states, of.model, compute=compute)
        for name, of in sweep.trained.items()
    }
    first = max(NEXT_FRAME, params.predict.warmup_frames) * settings.state_stride
    noise = shuffled(data, torch.Generator().manual_seed(params.seed), first)
    measures = [
        sweep.job(f"{name}{suffix}", encode(frames), readout=not suffix)
        for name, encode in ({RAW: raw} | dict(rivals) | states).items()
        for suffix, frames in (("", data), (SHUFFLED, noise))
    ]
    sweep.add(measures)
    sweep.add([], [(name, RAW) for name in (*states, PCA) if name in sweep.measured])
    return sweep


def raw(data: Sequences) -> Tensor:
    """Give the frames themselves."""
    return data.frames


def dynamic_ease(sweep: Sweep, name: str, split: str) -> Estimate:
    """Give the ease of a candidate beyond that of the same of shuffled frames."""
    return sweep.ease(name, split).beyond(sweep.ease(f"{name}{SHUFFLED}", split))


def choose(sweep: Sweep) -> str:
    """Choose the state of the most dynamic ease on validation, if any can be without collapse."""
    sound = [name for name in sweep.jobs if not sweep.collapsed(name)]
    return max(sound or sweep.jobs, key=lambda name: dynamic_ease(sweep, name, "validation").value)


def choose_rival(sweep: Sweep, chosen: str, rivals: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Choose on validation which rivals count, and the one of most dynamic ease among them.

    Raw x always counts, and others where they keep no less of x than the state.
    """
    kept = sweep.fidelity(chosen, "validation").value
    counted = [name for name in rivals if sweep.fidelity(name, "validation").value >= kept]
    counted = [RAW, *counted]
    best = max(counted, key=lambda name: dynamic_ease(sweep, name, "validation").value)
    return tuple(counted), best


def bet_metrics(evidence: Evidence) -> dict[str, object]:
    """Give the contents of `metrics/detail/bet2_study.json`, on test and on the held-out voice."""
    collapsed = [float(sweep.collapsed(evidence.chosen)) for sweep in evidence.trainings]
    metrics: dict[str, object] = {
        "chosen": evidence.chosen,
        "rival": evidence.rival,
        "collapsed": float(np.mean(collapsed)),
        "trainings": len(evidence.trainings),
        **of_split(evidence, "test"),
        "search": {name: validation_of(evidence.search, name) for name in evidence.search.jobs},
        "raw_innovation_bits_per_s": bits_per_s(
            state_innovation(evidence.search, RAW, "validation").value,
            evidence.search.data.frame_rate,
        ),
        "rivals": {
            name: {
                **validation_of(evidence.rivals, name),
                **dynamic_ease(evidence.rivals, name, "test").metrics("dynamic_ease"),
                **evidence.rivals.fidelity(name, "test").metrics("fidelity_r2"),
                "counts": int(name in evidence.counted),
            }
            for name in evidence.rivals.measured
            if not name.endswith(SHUFFLED) and name not in evidence.rivals.jobs
        },
    }
    if "test_voice" in evidence.rivals.bootstraps:
        metrics["test_voice"] = of_split(evidence, "test_voice")
    return metrics


def validation_of(sweep: Sweep, name: str) -> dict[str, object]:
    """Give what choices are made by, and for a state whether it shows a sign of collapse."""
    found: dict[str, object] = {
        "validation_dynamic_ease": dynamic_ease(sweep, name, "validation").value,
        "validation_fidelity_r2": sweep.fidelity(name, "validation").value,
    }
    if name not in sweep.jobs:
        return found
    signs = sweep.signs(name)
    return {
        **found,
        "collapsed": int(any(signs.values())),
        "signs_of_collapse": signs,
        "validation_sufficiency": sweep.sufficiencies[name, RAW].validation_share,
        **rates(sweep, name, "validation").metrics(),
    }


def of_split(evidence: Evidence, split: str) -> dict[str, float]:
    """Give what the verdict rests on, over all trainings on one split."""
    sweeps, chosen = evidence.trainings, evidence.chosen

    def ease_of(name: str) -> TrainedEstimate:
        return TrainedEstimate(tuple(dynamic_ease(sweep, name, split) for sweep in sweeps))

    def sufficiency_of(name: str) -> TrainedEstimate:
        return TrainedEstimate(tuple(sweep.sufficiency(name, split) for sweep in sweeps))

    own = ease_of(chosen)
    fidelity = TrainedEstimate(tuple(sweep.fidelity(chosen, split) for sweep in sweeps))
    return {
        **own.metrics("dynamic_ease"),
        **ease_of(evidence.rival).metrics("rival_dynamic_ease"),
        **(own - ease_of(evidence.rival)).metrics("dynamic_ease_over_rivals"),
        **(own - ease_of(RAW)).metrics("dynamic_ease_over_raw"),
        **sufficiency_of(chosen).metrics("sufficiency"),
        **(sufficiency_of(chosen) - sufficiency_of(PCA)).metrics("sufficiency_over_pca"),
        **fidelity.metrics("fidelity_r2"),
    }
