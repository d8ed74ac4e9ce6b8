"""Fit and compare the densities of a row: plain, speech-borne and spliced gains with their nulls.

Every gain has a null, the same without the order in time: of plain and of spliced latents the same
frames shuffled within each clip, of the speech-borne gain the same targets shuffled, while the past
stays what it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mimi_dynamics.density.fit import (
    LINEAR_BASELINE,
    WITHOUT_NETWORK,
    FitSpec,
    check_horizon,
    evaluated_splits,
)
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.gains import (
    STACK,
    Fits,
    Gains,
    clip_bootstrap,
    fit_trainings,
    stacks,
)
from mimi_dynamics.evidence.intervals import TrainedEstimate, over_trainings
from mimi_dynamics.evidence.surrogates import reorderings, shuffle
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.codec_row.subjects import Subject

PLAIN, SPEECH, SPLICED = "real", "speech_borne", "spliced"
NULLS = {
    PLAIN: "shuffled",
    SPEECH: "speech_borne_shuffled",
    SPLICED: "spliced_shuffled",
}
GAIN, DYNAMIC, SPEECH_BORNE = "gain", "dynamic_gain", "speech_borne_gain"


@dataclass(frozen=True)
class Lead:
    """The fits of one distance.

    Attributes:
        template: the settings of all fits.
        rows: the data by name: `real`, `speech_borne`, `spliced` and their nulls.
        trainings: the fits and stacks of each training; what is fitted once is in the first.
    """

    template: FitSpec
    rows: Mapping[str, Sequences]
    trainings: Sequence[Fits]


def rows_of(subject: Subject, template: FitSpec) -> dict[str, Sequences]:
    """Give the data of all fits of one distance by name; spliced speech is of the next frame only.

    Args:
        subject: the latents.
        template: the settings of all fits.
    """
    first, seed = template.first, template.seed
    rows = {PLAIN: subject.data, NULLS[PLAIN]: reorderings(subject.data, first, seed)["shuffled"]}
    if subject.speech is not None:
        rows[SPEECH] = subject.speech
        rows[NULLS[SPEECH]] = with_shuffled_targets(subject.speech, first, seed)
    if template.horizon == NEXT_FRAME and subject.spliced is not None:
        rows[SPLICED] = subject.spliced
        rows[NULLS[SPLICED]] = reorderings(subject.spliced, first, seed)["shuffled"]
    return rows


def with_shuffled_targets(data: Sequences, first: int, seed: int) -> Sequences:
    """Permute the targets within each clip, and leave the frames as they are.

    Args:
        data: sequences with targets.
        first: see `surrogates.shuffle`.
        seed: seed of the permutation.
    """
    if data.targets is None:
        raise ValueError("there are no targets to shuffle")
    generator = torch.Generator().manual_seed(seed)
    own = replace(data, frames=data.targets, targets=None)
    return replace(data, targets=shuffle(own, generator, first).frames)


def fit_leads(
    subject: Subject,
    params: Params,
    trainings: Mapping[int, int],
    stored: Mapping[int, Sequence[Fits]],
) -> dict[int, Lead]:
    """Fit everything that is not fitted yet, all distances and trainings together.

    Args:
        subject: the latents.
        params: all settings.
        trainings: how many trainings, by distance in frames.
        stored: fits of `real` and `shuffled` that are there already, of as many trainings, by
            distance; empty if none is.

    Raises:
        InputError: no clip of a split is long enough, or latents are not finite.
    """
    head, settings, seed = params.head, params.predict, params.seed
    leads = {}
    for k in trainings:
        template = FitSpec(PLAIN, subject.data, head, k, settings, seed, compute=params.compute)
        rows = rows_of(subject, template)
        for name in NULLS.keys() & rows.keys():
            check_horizon(replace(template, sequences=rows[name]))
        leads[k] = Lead(template, rows, ())
    jobs = {
        (k, training): jobs_of(lead, params, training, k in stored)
        for k, lead in leads.items()
        for training in range(trainings[k])
    }
    # Without audio there are only the fits that stage `horizon` has done.
    new = fit_trainings(list(jobs.values())) if any(jobs.values()) else [{} for _ in jobs]
    fitted = dict(zip(jobs, new, strict=True))
    return {
        k: replace(lead, trainings=_joined(k, fitted, stored.get(k, ()), head))
        for k, lead in leads.items()
    }


def jobs_of(lead: Lead, params: Params, training: int, stored: bool) -> list[FitSpec]:
    """List the fits of one training.

    What a verdict may rest on is fitted in every training, with a seed each; spliced latents and
    densities without a network only in the first.

    Args:
        lead: the data and settings of one distance.
        params: all settings.
        training: number of the training, from 0.
        stored: whether the fits of `real` and `shuffled` are there already.
    """
    pairs = [PLAIN] * (not stored) + [SPEECH] + [SPLICED] * (training == 0)
    names = [name for of in pairs if of in lead.rows for name in (of, NULLS[of])]
    specs = [replace(lead.template, row=name, sequences=lead.rows[name]) for name in names]
    once = [replace(spec, head=head) for head in WITHOUT_NETWORK for spec in specs]
    trained = [replace(spec, seed=params.seed + training) for spec in specs]
    return trained + once * (training == 0)


def _joined(
    k: int, fitted: Mapping[tuple[int, int], Fits], stored: Sequence[Fits], head: str
) -> list[Fits]:
    """Add the stacks, and what was there already, to the fits of each training of distance k."""
    own = [fits for (of, _), fits in sorted(fitted.items()) if of == k]
    shared = {key: found for key, found in own[0].items() if key[1] in WITHOUT_NETWORK}
    before = list(stored) or [{}] * len(own)
    return [
        known | fits | stacks(fits | shared, head) for known, fits in zip(before, own, strict=True)
    ]


def measure(leads: Mapping[int, Lead], params: Params, frame_rate: float) -> dict[str, object]:
    """Give the gains of a row, those of `test` at the top.

    Args:
        leads: the fits by distance.
        params: all settings.
        frame_rate: frames per second.
    """
    data = leads[NEXT_FRAME].template.sequences
    results = {}
    for split in evaluated_splits(data):
        draws = clip_bootstrap(data, split, params.predict.bootstrap_samples, params.seed)
        of_lead = {k: split_metrics(lead, split, draws, frame_rate) for k, lead in leads.items()}
        later = {f"k{k}": found for k, found in of_lead.items() if k != NEXT_FRAME}
        results[split] = of_lead[NEXT_FRAME] | later
    return results.pop("test") | results


def split_metrics(
    lead: Lead, split: str, bootstrap: ClipBootstrap, frame_rate: float
) -> dict[str, object]:
    """Give the gains of one split and distance, in nats per dimension and in bits per second."""
    every = [Gains(lead.template, lead.rows, of, split, bootstrap) for of in lead.trainings]
    metrics = gain_metrics(every, STACK)
    linear = gain_metrics(every[:1], LINEAR_BASELINE)
    per_second = lead.template.sequences.dim * frame_rate / math.log(2)
    bits = {
        f"{name}_bits_per_s": metrics[f"{name}_nats_per_dim"] * per_second
        for name in (GAIN, DYNAMIC, SPEECH_BORNE)
        if f"{name}_nats_per_dim" in metrics
    }
    scored = every[0].scored
    frames = {"frames": len(scored[PLAIN].clip)}
    if SPEECH in scored:
        frames["transplanted_frames"] = len(scored[SPEECH].clip)
    return {**metrics, **bits, **frames, "linear": linear}


def gain_metrics(trainings: Sequence[Gains], head: str) -> dict[str, Any]:
    """Give all gains by one head, each over the trainings that have it."""

    def gain(row: str) -> list[Estimate]:
        return [of.gain(row, head) for of in trainings if (row, head, "conditional") in of.fits]

    def beyond(row: str) -> TrainedEstimate | Estimate:
        pairs = zip(gain(row), gain(NULLS[row]), strict=True)
        return over_trainings([whole.beyond(null) for whole, null in pairs])

    rows = trainings[0].scored
    metrics: dict[str, object] = {
        **over_trainings(gain(PLAIN)).metrics(f"{GAIN}_nats_per_dim"),
        **beyond(PLAIN).metrics(f"{DYNAMIC}_nats_per_dim"),
        **over_trainings(gain(NULLS[PLAIN])).metrics("shuffled_gain_nats_per_dim"),
    }
    if SPEECH in rows:
        null = over_trainings(gain(NULLS[SPEECH]))
        metrics |= beyond(SPEECH).metrics(f"{SPEECH_BORNE}_nats_per_dim")
        metrics |= null.metrics("speech_borne_null_nats_per_dim")
    if SPLICED in rows:
        metrics["spliced"] = {
            **over_trainings(gain(SPLICED)).metrics(f"{GAIN}_nats_per_dim"),
            **beyond(SPLICED).metrics(f"{DYNAMIC}_nats_per_dim"),
        }
    return metrics
