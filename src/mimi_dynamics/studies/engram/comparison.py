"""Training of every variant on every subject with every seed, and their comparison."""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from mimi_dynamics.density.devices import run_fits
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.engram.metrics import share_metrics, subject_metrics
from mimi_dynamics.studies.engram.model import Shape, build, parameters, sizes, with_share
from mimi_dynamics.studies.engram.study import Job, Subject, Trained, train
from mimi_dynamics.studies.engram.subjects import make_shape

Key = TypeVar("Key", bound=Hashable)
# Sections of params.yaml on which the results of the study depend.
SECTIONS = ("engram", "engram_study", "latents", "predict", "rssm", "seed")


def study_params(params: Params) -> Params:
    """Give the settings of the stage `engram`, with the number of trainings of the study."""
    engram = params.engram.model_copy(update={"seeds": params.engram_study.seeds})
    return params.model_copy(update={"engram": engram})


def compare(
    params: Params, subjects: Sequence[Subject], table_shares: Sequence[float] = ()
) -> dict[str, dict[str, object]]:
    """Train every variant of every subject, and measure what the memory contributes.

    Args:
        params: all settings.
        subjects: raw x and the state; only the last one is also tried with `table_shares`.
        table_shares: shares of all parameters to put into tables, with the same total.

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
    state = subjects[-1]
    shares = share_jobs(state, shapes[state.name], table_shares, seeds)
    trained = train_all({**variants, **shares})

    metrics: dict[str, dict[str, object]] = {}
    for subject in subjects:
        of_subject = {key[1]: trained[key] for key in variants if key[0] == subject.name}
        metrics[subject.name] = subject_metrics(subject, of_subject, params)
    if shares:
        metrics[state.name]["by_table_share"] = {
            f"s{round(100 * share):02d}": share_metrics(jobs[0], trained[share], params)
            for share, jobs in shares.items()
        }
    return metrics


def share_jobs(
    subject: Subject, shape: Shape, table_shares: Sequence[float], seeds: Sequence[int]
) -> dict[float, list[Job]]:
    """Give the trainings by share of parameters in tables, at the same total of parameters.

    Args:
        subject: the sequence to predict.
        shape: the shape of its models.
        table_shares: shares of parameters in tables.
        seeds: seeds of the trainings.
    """
    total = parameters(build(shape, "engram", shape.settings.width, 0))
    jobs = {}
    for share in table_shares:
        changed, width = with_share(shape, total, share)
        variant = "engram" if share else "none"
        jobs[share] = [Job(subject, changed, variant, width, seed) for seed in seeds]
    return jobs


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
