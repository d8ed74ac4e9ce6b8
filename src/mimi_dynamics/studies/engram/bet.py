"""What bet 3 is judged by: how much a memory helps, by settings that find planted motifs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.pipeline.params import EngramParams, Params
from mimi_dynamics.studies.engram.kept import as_trained, measured_noise, run_kept, scored
from mimi_dynamics.studies.engram.metrics import Effects
from mimi_dynamics.studies.engram.model import Variant, sizes
from mimi_dynamics.studies.engram.power import Grounds, choose, power
from mimi_dynamics.studies.engram.study import Job, Subject
from mimi_dynamics.studies.engram.subjects import make_shape, make_subject

VARIANTS: tuple[Variant, ...] = ("engram", "none", "iso_parameter", "shuffled_keys", "one_row")


def judge_memory(
    params: Params, subjects: Sequence[Subject], folder: Path
) -> Iterator[dict[str, object]]:
    """Choose settings on planted motifs, measure what they find, and apply them to real data.

    What the bet is judged by comes first: the smallest motifs, then the state.

    Args:
        params: all settings.
        subjects: raw x and the state; motifs are planted into the last one.
        folder: where trainings are kept.

    Yields:
        The metrics of the study so far, after each part of it.
    """
    study = params.bet3_study
    *others, state = subjects
    wide = params.engram.model_copy(update={"width": study.width})
    noise = measure_noise(state, wide, params, folder)
    grounds = Grounds(state, noise, params, folder)
    best, sweep = choose(grounds, wide.model_copy(update={"width": study.sweep_width}))
    best = best.model_copy(update={"width": study.width})
    chosen = {name: getattr(best, name) for name in type(study.sweep).model_fields}
    planted: dict[str, object] = {}
    metrics: dict[str, object] = {"sweep": sweep, "chosen": chosen}
    yield metrics
    first, *larger = study.learnable_nats
    parts: tuple[float | Subject, ...] = (first, state, *larger, *others)
    for part in parts:
        if isinstance(part, Subject):
            metrics[part.name] = real_metrics(part, best, params, folder)
        else:
            planted[f"n{part:g}".replace(".", "_")] = power(grounds, best, part)
            metrics["planted"] = planted
        yield metrics


def measure_noise(subject: Subject, settings: EngramParams, params: Params, folder: Path) -> Tensor:
    """Give the (dim, dim) noise by which motifs are sized, of a model without a memory."""
    shape = make_shape(subject, params.model_copy(update={"engram": settings}))
    job = Job(subject, shape, "none", settings.width, params.seed)
    return run_kept(folder, [job], measured_noise, "noise")[0]["noise"]


def real_metrics(
    subject: Subject, settings: EngramParams, params: Params, folder: Path
) -> dict[str, object]:
    """Train everything on a subject as it is, and measure the memory's help over each control.

    Args:
        subject: the sequence to predict.
        settings: those that were chosen on planted motifs.
        params: all settings.
        folder: where trainings are kept.
    """
    study, params = params.bet3_study, params.model_copy(update={"engram": settings})
    subject = make_subject(subject.name, subject.data, subject.codes, params)
    shape = make_shape(subject, params)
    width, seeds = sizes(shape), range(params.seed, params.seed + study.seeds)
    groups: dict[str, list[Job]] = {
        variant: [Job(subject, shape, variant, width[variant], seed) for seed in seeds]
        for variant in VARIANTS
    }
    groups["doubled"] = [
        Job(subject, shape, "none", 2 * study.width, seed) for seed in seeds[: study.doublings]
    ]
    trained = {
        name: [as_trained(of) for of in run_kept(folder, group, scored, f"{subject.name}, {name}")]
        for name, group in groups.items()
    }
    metrics: dict[str, object] = {
        "width": study.width,
        "iso_parameter_width": width["iso_parameter"],
    }
    for split in evaluated_splits(subject.data):
        effects = Effects(subject, trained, split, params.predict.bootstrap_samples, params.seed)
        saved = [
            plain.nll[split] - wider.nll[split]
            for plain, wider in zip(trained["none"], trained["doubled"], strict=False)
        ]
        found = effects.metrics() | effects.mean(saved).metrics("doubling_gain_nats_per_frame")
        metrics |= found if split == "test" else {split: found}
    return metrics
