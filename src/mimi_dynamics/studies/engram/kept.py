"""Results of trainings on disk, so that a study of many that was stopped goes on where it was."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mimi_dynamics.density.devices import on_device, run_fits
from mimi_dynamics.density.training import losses
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.tensors import read_tensors, sha256_of_tensors, write_tensors
from mimi_dynamics.studies.engram.model import WITH_MEMORY
from mimi_dynamics.studies.engram.planting import fisher_noise
from mimi_dynamics.studies.engram.study import Job, Trained, fit_job, noise_keys, score

Work = Callable[[Job], dict[str, Tensor]]
OF_ALL_MODELS = {"head", "lr", "epochs"}  # what of the settings one without a memory depends on
FIELDS = ("nll", "knocked_out", "openness", "under_noise")  # of `Trained`
KEY_NOISE = (0.1, 0.2, 0.4)  # in the unit of whitened frames; 0.1 is the noise floor of states


def run_kept(folder: Path, jobs: Sequence[Job], work: Work, label: str) -> list[dict[str, Tensor]]:
    """Do the work of every job, unless it was done in an earlier run.

    Args:
        folder: where results are kept.
        jobs: the trainings.
        work: what to do: `validated`, `scored` or `measured_noise`.
        label: the label of the progress bar.

    Returns:
        The results of each job.
    """
    tasks = [partial(_keep, folder, job, work) for job in jobs]
    return run_fits(tasks, label, jobs[0].shape.compute)


def _keep(folder: Path, job: Job, work: Work) -> dict[str, Tensor]:
    path = folder / f"{work.__name__}-{job.subject.name}-{job.variant}-{identity(job)}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, work(job), {})
    return read_tensors(path)[0]


def identity(job: Job) -> str:
    """Hash all that the results of a job depend on but the code."""
    data, shape = job.subject.data, job.shape
    frames = {"frames": data.frames}
    settings = shape.settings.model_dump(exclude={"seeds", "width"})
    if job.variant in WITH_MEMORY:
        frames["keys"] = torch.from_numpy(job.subject.keys.values)
    else:
        settings = {name: settings[name] for name in OF_ALL_MODELS}
    clips = {"lengths": torch.from_numpy(data.lengths), "gated": data.gated}
    told = {
        "data": sha256_of_tensors(frames | clips),
        "splits": data.splits.tolist(),
        "job": [job.variant, job.width, job.seed, shape.context_frames, shape.orders],
        "settings": [settings, shape.predict.model_dump(), shape.compute.model_dump()],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def validated(job: Job) -> dict[str, Tensor]:
    """Train, and give the scalar `validation`: nats per frame of the best epoch."""
    return {"validation": torch.tensor(fit_job(job)[1])}


def measured_noise(job: Job) -> dict[str, Tensor]:
    """Train, and give the (dim, dim) `noise` of validation, by which motifs are sized."""
    return {"noise": fisher_noise(fit_job(job)[0], job.subject.batches("validation"))}


def scored(job: Job) -> dict[str, Tensor]:
    """Train, and give the scores of all evaluated splits; see `as_trained`."""
    model, _, keys = fit_job(job)
    with on_device(model, job.shape.compute):
        trained = score(job, model, keys)
        if job.variant == "engram":
            for scale in KEY_NOISE:
                noisy = noise_keys(job.subject.data, job.subject.keys, scale, job.seed)
                nll = losses(model, job.subject.batches("test", noisy))
                trained.under_noise[f"{scale:g}"] = nll.to(CPU).numpy()
    return {
        f"{field}.{of}": torch.from_numpy(values)
        for field in FIELDS
        for of, values in getattr(trained, field).items()
    }


def as_trained(results: dict[str, Tensor]) -> Trained:
    """Give what `scored` found in the form that `Effects` reads, without the model."""
    fields: dict[str, dict[str, np.ndarray]] = {field: {} for field in FIELDS}
    for name, values in results.items():
        field, of = name.split(".", 1)
        fields[field][of] = values.numpy()
    return Trained(None, **fields)
