"""Does a lookup memory of recurring patterns help to predict, and why?

Trains predictors of x and of the state z_dyn with a memory addressed by the last keys, and with
everything that such a memory has to beat: as many parameters or as much work spent on width, the
same tables badly addressed, the gate without anything to look up.

    python src/engram.py         (or: dvc repro engram)

Reads data/latents/, data/states/ and models/normalizer.safetensors.
Writes metrics/engram.json, plots/engram.csv and plots/engram.png.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mimi_dynamics.engram.figures import engram_figure
from mimi_dynamics.engram.keys import make_keys
from mimi_dynamics.engram.metrics import CONTROLS, Effects, Trainings, table_metrics
from mimi_dynamics.engram.model import Shape, build, parameters, sizes, with_share
from mimi_dynamics.engram.study import Job, Subject, Trained, noise_keys, train
from mimi_dynamics.errors import InputError
from mimi_dynamics.estimation import evaluated_splits
from mimi_dynamics.figures import save_figure
from mimi_dynamics.files import write_metrics, write_text
from mimi_dynamics.latents import Latents, read_latents
from mimi_dynamics.normalizer import load_normalizer, normalized_sequences
from mimi_dynamics.parallel import run_parallel
from mimi_dynamics.params import Params
from mimi_dynamics.sequences import Sequences, make_batches
from mimi_dynamics.stage import run_stage
from mimi_dynamics.states import make_candidate, read_states, update_index
from mimi_dynamics.var import fit_var


def engram(params: Params) -> None:
    """Run the stage."""
    latents = read_latents(Path("data/latents"))
    normalizer = load_normalizer(Path("models/normalizer.safetensors"))
    data = normalized_sequences(latents, normalizer, params.latents.voiced_range_db)
    subjects = make_subjects(params, latents, data)
    shapes = {subject.name: make_shape(subject, params) for subject in subjects}
    seeds = range(params.seed, params.seed + params.engram.seeds)
    jobs = [
        Job(subject, shapes[subject.name], variant, width, params.engram.rows, seed)
        for subject in subjects
        for variant, width in sizes(shapes[subject.name]).items()
        for seed in seeds
    ]
    extra = shares(params, subjects[-1], shapes[subjects[-1].name], list(seeds))
    # Wide models take longest, and long ones first keeps all cores busy to the end.
    order = sorted(range(len(jobs + extra)), key=lambda n: -(jobs + extra)[n].width)
    found = run_parallel(train, [(jobs + extra)[n] for n in order], "train")
    results = dict(zip(order, found, strict=True))

    metrics: dict[str, object] = {}
    for subject in subjects:
        trained: dict[str, list[Trained]] = {}
        for number, job in enumerate(jobs):
            if job.subject is subject:
                trained.setdefault(job.variant, []).append(results[number])
        metrics[subject.name] = subject_metrics(subject, trained, params)
    if extra:
        trained = [results[len(jobs) + number] for number in range(len(extra))]
        metrics[subjects[-1].name] |= {"by_table_share": by_share(extra, trained, params)}
    write_metrics(Path("metrics/engram.json"), metrics)
    write_plots(metrics)


def make_subjects(params: Params, latents: Latents, data: Sequences) -> list[Subject]:
    """Raw x, and the state, each with its keys.

    Raises:
        InputError: the states are of other clips than the latents.
    """
    states, clips = read_states(Path("data/states"))
    stride = params.rssm.state_stride
    updates, newest = update_index(data.lengths, stride)
    if not np.array_equal(clips, latents.clip_ids) or len(states) != len(updates):
        raise InputError("data/states: of other clips than data/latents; run the stage rssm")
    held = torch.from_numpy(states[newest])
    state = make_candidate("z_dyn", data, held, stride, params.seed).updates
    codes = latents.codes[:, 0]
    return [
        make_subject("raw", data, codes, params),
        make_subject("z_dyn", state, codes[updates], params),
    ]


def make_subject(name: str, data: Sequences, codes: np.ndarray, params: Params) -> Subject:
    """One of them."""
    settings = params.engram
    sizes = settings.cells, settings.least_count
    keys = make_keys(settings.keys, data, codes, *sizes, params.seed)
    noisy = noise_keys(data, keys, settings.key_noise, params.seed) if settings.key_noise else None
    predict = params.predict.model_copy(update={"min_steps": 0})
    return Subject(name, data, keys, noisy, params.horizon, predict)


def make_shape(subject: Subject, params: Params) -> Shape:
    """What all models of a subject share."""
    size = params.predict.warmup_frames, params.predict.batch_frames
    learned, validation = (
        make_batches(subject.data.select(split), subject.horizon, *size)
        for split in ("train", "validation")
    )
    var, gaussian = (fit_var(learned, validation, order) for order in (params.predict.var_order, 0))
    predict = params.predict
    return Shape(
        var, gaussian, subject.keys.count, params.engram, predict.dropout, predict.components
    )


def shares(params: Params, subject: Subject, shape: Shape, seeds: list[int]) -> list[Job]:
    """Trainings at the same total of parameters, with more and more of them in tables."""
    settings, jobs = params.engram, []
    total = parameters(build(shape, "engram", settings.width, settings.rows, 0))
    for share in settings.table_shares:
        changed, width = with_share(shape, total, share)
        variant = "engram" if share else "none"
        rows = changed.settings.rows
        jobs += [Job(subject, changed, variant, width, rows, seed) for seed in seeds]
    return jobs


def subject_metrics(subject: Subject, trained: Trainings, params: Params) -> dict[str, object]:
    """All that `metrics/engram.json` says of one subject."""
    engrams = trained["engram"]
    found: dict[str, object] = {
        "parameters": parameters(engrams[0].model),
        "iso_parameter_parameters": parameters(trained["iso_parameter"][0].model),
        **table_metrics(subject, engrams[0].model.trunk.memory.hashing),
    }
    for split in evaluated_splits(subject.data):
        draws = params.predict.bootstrap_samples
        of_split = Effects(subject, trained, split, draws, params.seed).metrics()
        found |= of_split if split == "test" else {split: of_split}
    return found


def by_share(jobs: list[Job], trained: list[Trained], params: Params) -> dict[str, object]:
    """NLL on test by the share of parameters in tables, at the same total."""
    seeds, found = params.engram.seeds, {}
    for number, share in enumerate(params.engram.table_shares):
        of_share = slice(number * seeds, (number + 1) * seeds)
        job, models = jobs[of_share][0], trained[of_share]
        draws = params.predict.bootstrap_samples
        effects = Effects(job.subject, {"engram": models}, "test", draws, params.seed)
        nll = effects.mean([model.nll["test"] for model in models])
        found[f"s{round(100 * share):02d}"] = {
            **nll.metrics("nll_nats_per_frame"),
            "width": job.width,
            "rows": job.rows if share else 0,
            "parameters": parameters(models[0].model),
        }
    return found


def write_plots(metrics: dict[str, dict[str, object]]) -> None:
    """Help against every control, by count of keys, and by how nearly train has the passage.

    As CSV and as a figure.
    """
    rows = []
    for subject, found in metrics.items():
        rows += [
            {"subject": subject, "what": "control", "of": of, **ends(found, f"{of}_nats_per_frame")}
            for of in CONTROLS
        ]
        for of, values in found["by_count"].items():
            told = {name: values[name] for name in ("share", "gate_openness")}
            value = ends(values, "help_nats_per_frame")
            rows.append({"subject": subject, "what": "count", "of": of, **value, **told})
        for of, values in found["by_passage"].items():
            told = {"distance": values["distance"]}
            value = ends(values, "help_nats_per_frame")
            rows.append({"subject": subject, "what": "passage", "of": of, **value, **told})
    table = pd.DataFrame(rows)
    write_text(Path("plots/engram.csv"), table.to_csv(index=False, float_format="%.6g"))
    save_figure(engram_figure(table), Path("plots/engram.png"))


def ends(metrics: dict[str, float], key: str) -> dict[str, float]:
    """A number and the ends of its interval."""
    return {
        "value": metrics[key],
        "low": metrics[f"{key}_ci_low"],
        "high": metrics[f"{key}_ci_high"],
    }


if __name__ == "__main__":
    run_stage(engram)
