"""What the fixed generator makes of a set of latents, judged by what is heard of it.

The generator is the small CALM of bet 4, of the same number of parameters for all sets, and trained
on the same speech for as many passes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.energy_score import energy_score
from mimi_dynamics.evidence.intervals import over_trainings
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.generation.rollouts import Starts, seeded
from mimi_dynamics.generation.scores import average
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.params import Params, PredictParams
from mimi_dynamics.studies.calm.kept import train_once
from mimi_dynamics.studies.calm.model import shape_of
from mimi_dynamics.studies.calm.training import CalmJob
from mimi_dynamics.studies.calm.windows import WINDOW, Windows, WindowSpace, distances
from mimi_dynamics.studies.ranking.places import PROMPT, Places, bands
from mimi_dynamics.studies.ranking.sets import RankedSet

LEADS = range(2, 9)  # frames of 80 ms
CLIMATOLOGY_SAMPLES = 64
TRUTH = "truth"


def generator_params(params: Params, frames_per_step: int, head: str) -> Params:
    """Give the settings with which a CALM is trained on a set: all that is in frames is as long.

    Args:
        params: all settings.
        frames_per_step: see `RankedSet`.
        head: how it is trained.
    """
    study, calm = params.ranking_study, params.calm
    changes = {
        "head": head,
        "sampling_steps": 1,
        "epochs": study.epochs,
        "batch_frames": calm.batch_frames // frames_per_step,
        "context_frames": calm.context_frames // frames_per_step,
    }
    return params.model_copy(
        update={
            "calm": calm.model_copy(update=changes),
            "predict": in_steps(params.predict, frames_per_step),
        }
    )


def in_steps(predict: PredictParams, frames_per_step: int) -> PredictParams:
    """Give the settings of the predictor with lengths in steps in place of frames."""
    lengths = ("warmup_frames", "var_order", "lags", "batch_frames")
    of = {name: max(1, getattr(predict, name) // frames_per_step) for name in lengths}
    return predict.model_copy(update=of)


def calm_job(of: RankedSet, data: Sequences, params: Params, head: str, training: int) -> CalmJob:
    """Give a training of the generator.

    Args:
        of: the set.
        data: what it is trained on, `of.data` or a surrogate.
        params: all settings.
        head: how it is trained.
        training: number of the training.
    """
    params = generator_params(params, of.frames_per_step, head)
    shape = shape_of(params.calm, data.dim)
    return CalmJob(data, params, shape, params.ranking_study.parameters, params.seed + training)


def heard_of(
    of: RankedSet, places: Places, params: Params, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Train, continue and decode.

    Args:
        of: the set.
        places: where.
        params: all settings.
        folder: where trainings are kept.

    Returns:
        (trainings, samples, starts, WINDOW, 40) log-mel frames of the continuations, and (starts,
        WINDOW, 40) those of the latents that were there.
    """
    study = params.ranking_study
    starts, prompts, truth = _steps_at(of, places)
    continued = []
    for training in range(study.trainings):
        job = calm_job(of, of.data, params, params.calm.head, training)
        generator = train_once(folder, f"{of.name}@{training}", job).generator
        paths = _continue(generator, starts, truth.shape[1], study.samples, job.seed)
        sounds = [_bands_after(of, prompts, path) for path in paths]
        continued.append(np.stack(sounds))
    return np.stack(continued), _bands_after(of, prompts, truth)


def _continue(generator: Generator, starts: Starts, steps: int, samples: int, seed: int) -> Tensor:
    """Draw (samples, starts, steps, dim) continuations."""
    with seeded(seed):
        return generator.paths("test", starts, np.full(len(starts), steps), samples)


def _steps_at(of: RankedSet, places: Places) -> tuple[Starts, Tensor, Tensor]:
    """Give the starts in steps of the set, and the (starts, steps, dim) true ones on both sides."""
    per = of.frames_per_step
    given = places.starts
    starts = Starts(given.clip, given.past // per, given.room // per)
    clips = of.data.select("test")
    begins = (np.cumsum(clips.lengths) - clips.lengths)[starts.clip] + starts.past

    def cut(first: int, last: int) -> Tensor:
        return clips.frames[torch.from_numpy(begins[:, None] + np.arange(first, last))]

    return starts, cut(-PROMPT // per, 0), cut(0, WINDOW // per)


def _bands_after(of: RankedSet, prompts: Tensor, path: Tensor) -> np.ndarray:
    """Decode prompts with what follows, and give the (starts, WINDOW, 40) frames of the latter."""
    sounds = of.decode(torch.cat([prompts, path], 1))
    return np.stack([bands(sound)[PROMPT : PROMPT + WINDOW] for sound in sounds])


def outcomes(
    continued: np.ndarray, decoded: np.ndarray, places: Places, params: Params
) -> dict[str, Any]:
    """Judge continuations by their windows of 0.96 s and by their skill.

    Args:
        continued: see `heard_of`.
        decoded: see `heard_of`.
        places: where they are.
        params: all settings.

    Returns:
        `frechet`, the distance of windows to recorded ones, and `skill`, 1 less the energy score
        over that of frames from elsewhere, a mean over leads; `skill_of_generator`, the same with
        the decoded latents in the place of the recording; `frechet_of_codec`, between these two;
        and `by_training`, what each training has.
    """
    drawn = {
        f"{training} {sample}": windows
        for training, samples in enumerate(continued)
        for sample, windows in enumerate(samples)
    }
    found = window_distances(drawn | {"codec": decoded}, places, params)
    number = range(len(continued))
    clip = places.starts.clip
    each: dict[str, list[Estimate]] = {
        "frechet": [
            average([found[f"{training} {sample}"] for sample in range(len(continued[training]))])
            for training in number
        ],
        "skill": [skill(of, places.recorded, clip, params) for of in continued],
        "skill_of_generator": [skill(of, decoded, clip, params) for of in continued],
    }
    metrics: dict[str, Any] = found["codec"].metrics("frechet_of_codec")
    for name, estimates in each.items():
        metrics |= over_trainings(estimates).metrics(name)
    metrics["by_training"] = {
        f"t{training}": {name: estimates[training].value for name, estimates in each.items()}
        for training in number
    }
    return metrics


def window_distances(
    windows: Mapping[str, np.ndarray], places: Places, params: Params
) -> dict[str, Estimate]:
    """Give the Fréchet distance to recorded windows of others at the same places, by name.

    Args:
        windows: (starts, WINDOW, 40) log-mel frames by name.
        places: where they are.
        params: all settings.
    """
    space = WindowSpace(places.train.reshape(len(places.train), -1), params.seed)
    compared = {**windows, TRUTH: places.recorded}
    flat = {name: of.reshape(len(of), -1) for name, of in compared.items()}
    found = distances(Windows(flat, places.starts.clip), space, TRUTH, params.seed)
    return {name: of["frechet"] for name, of in found.items()}


def floor(places: Places, params: Params) -> dict[str, float]:
    """Give the distance of as many recorded windows of train, where samples of one kind are."""
    random = np.random.default_rng(params.seed)
    other = places.train[random.choice(len(places.train), len(places.recorded), replace=False)]
    return window_distances({"recorded": other}, places, params)["recorded"].metrics("frechet")


def skill(drawn: np.ndarray, truth: np.ndarray, clip: np.ndarray, params: Params) -> Estimate:
    """Estimate the skill of log-mel frames over frames of the truth from other places.

    Args:
        drawn: (samples, starts, WINDOW, 40) continuations.
        truth: (starts, WINDOW, 40) what they are compared with.
        clip: (starts,) of each start.
        params: all settings.
    """
    random = np.random.default_rng(params.seed)
    clips, index = np.unique(clip, return_inverse=True)
    bootstrap = ClipBootstrap(len(clips), params.predict.bootstrap_samples, params.seed)
    anywhere = truth.reshape(-1, truth.shape[-1])
    own, others = np.zeros(len(clip)), np.zeros(len(clip))
    for lead in LEADS:
        target = torch.from_numpy(truth[:, lead - 1])
        climate = random.integers(len(anywhere), size=(CLIMATOLOGY_SAMPLES, len(clip)))
        own += energy_score(torch.from_numpy(drawn[:, :, lead - 1]), target).numpy()
        others += energy_score(torch.from_numpy(anywhere[climate]), target).numpy()
    climatology = bootstrap.mean(others, index)
    return (climatology - bootstrap.mean(own, index)) / climatology
