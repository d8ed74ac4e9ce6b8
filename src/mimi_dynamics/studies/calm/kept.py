"""Trainings on disk, so that a study of many that was stopped goes on where it was."""

import json
from pathlib import Path

from mimi_dynamics.density.predictor import load_predictor, save_predictor
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.studies.calm.factorised import (
    OursJob,
    PredictorJob,
    known_states,
    train_ours,
    train_predictor,
)
from mimi_dynamics.studies.calm.model import load_calm, save_calm
from mimi_dynamics.studies.calm.training import CalmJob, Trained, train_calm
from mimi_dynamics.studies.rssm.model import Rssm
from mimi_dynamics.studies.rssm.training import load_rssm, save_rssm

Job = CalmJob | OursJob | PredictorJob
COSTS = ("parameters", "flops", "passes", "steps")


def train_once(folder: Path, name: str, job: Job) -> Trained:
    """Train, unless that has been done in an earlier run, and read what was written then.

    Args:
        folder: where trainings are kept. It must be of the settings and the data of the job.
        name: name of the training.
        job: the training.

    Returns:
        The trained contender, without checkpoints and course.
    """
    # It is written last: where it is, the weights are whole.
    costs = folder / f"{name}.json"
    weights, render = folder / f"{name}.safetensors", folder / f"{name}.rssm.safetensors"
    if not costs.exists():
        trained = trained_by(job)
        if isinstance(job, CalmJob):
            save_calm(trained.generator.step, trained.calm_shape, weights)
        else:
            save_predictor(trained.generator.step, weights, predictor_info(job))
        if isinstance(job, OursJob):
            save_rssm(rendering(trained), render)
        write_metrics(costs, {key: getattr(trained, key) for key in COSTS})
    if isinstance(job, CalmJob):
        generator = Generator(load_calm(weights), job.data)
    elif isinstance(job, PredictorJob):
        generator = Generator(load_predictor(weights)[0], job.data)
    else:
        rssm = load_rssm(render)
        generator = Generator(load_predictor(weights)[0], known_states(rssm, job), rssm)
    return Trained(generator, **json.loads(costs.read_text(encoding="utf-8")), checkpoints=[])


def trained_by(job: Job) -> Trained:
    """Do the training of a job."""
    if isinstance(job, CalmJob):
        return train_calm(job)
    return train_ours(job) if isinstance(job, OursJob) else train_predictor(job)


def rendering(trained: Trained) -> Rssm:
    """Give the factorisation of ours.

    Raises:
        TypeError: the contender has none.
    """
    render = trained.generator.render
    if not isinstance(render, Rssm):
        raise TypeError(f"{type(render).__name__}: is no factorisation")
    return render


def predictor_info(job: OursJob | PredictorJob) -> dict[str, object]:
    """Give what is needed to build the density of a job again."""
    return {
        "head": job.params.head,
        "width": job.width or job.params.calm.dynamics_width,
        "components": job.params.predict.components,
        "context_frames": 0,
    }
