"""Training of every variant on every subject with every seed, and their comparison."""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.engram.metrics import subject_metrics
from mimi_dynamics.studies.engram.model import sizes
from mimi_dynamics.studies.engram.study import Job, Subject, Trained, train
from mimi_dynamics.studies.engram.subjects import make_shape

Key = TypeVar("Key", bound=Hashable)


def compare(params: Params, subjects: Sequence[Subject]) -> dict[str, dict[str, object]]:
    """Train every variant of every subject, and measure what the memory contributes.

    Args:
        params: all settings.
        subjects: raw x and the state.

    Returns:
        Metrics by subject.
    """
    seeds = range(params.seed, params.seed + params.engram.seeds)
    shapes = {subject.name: make_shape(subject, params) for subject in subjects}
    variants = {
        (subject.name, variant): [
            Job(subject, shapes[subject.name], variant, width, seed) for seed in seeds
        ]
        for subject in subjects
        for variant, width in sizes(shapes[subject.name]).items()
    }
    trained = train_all(variants)

    metrics: dict[str, dict[str, object]] = {}
    for subject in subjects:
        of_subject: dict[str, list[Trained]] = {
            variant: trained[name, variant] for name, variant in variants if name == subject.name
        }
        metrics[subject.name] = subject_metrics(subject, of_subject, params)
    return metrics


def train_all(groups: Mapping[Key, Sequence[Job]]) -> dict[Key, list[Trained]]:
    """Train the jobs of all groups, on all cores or on a GPU."""
    jobs = [job for group in groups.values() for job in group]
    compute = jobs[0].shape.compute
    # Wide models take the longest; starting with them keeps all cores busy until the end.
    order = sorted(range(len(jobs)), key=lambda n: -jobs[n].width)
    trained = run_fits([partial(train, jobs[n]) for n in order], "train", compute)
    results = dict(zip(order, trained, strict=True))
    in_order = (results[n] for n in range(len(jobs)))
    return {key: list(islice(in_order, len(group))) for key, group in groups.items()}
