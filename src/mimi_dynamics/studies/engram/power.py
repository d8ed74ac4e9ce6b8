"""How small a motif a memory can find, and which settings find most: all on planted frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import EngramParams, Params
from mimi_dynamics.studies.engram.kept import as_trained, run_kept, scored, validated
from mimi_dynamics.studies.engram.memory import ORDERS
from mimi_dynamics.studies.engram.metrics import Effects
from mimi_dynamics.studies.engram.model import Variant, build, parameters, sizes
from mimi_dynamics.studies.engram.planting import Planted, plant
from mimi_dynamics.studies.engram.study import Job, Subject, Trained
from mimi_dynamics.studies.engram.subjects import make_shape, make_subject, with_keys

COMPARED: tuple[Variant, ...] = ("engram", "iso_parameter")
TRIED: tuple[Variant, ...] = (*COMPARED, "none")


@dataclass(frozen=True)
class Grounds:
    """What motifs are planted into.

    Attributes:
        subject: the state.
        noise: (dim, dim) covariance of what the past does not tell of the next frame.
        params: all settings.
        folder: where trainings are kept.
    """

    subject: Subject
    noise: Tensor
    params: Params
    folder: Path

    def planted(self, settings: EngramParams, nats: float, seed: int) -> tuple[Subject, Planted]:
        """Plant motifs of the longest n-grams that can be worth so much.

        Args:
            settings: which keys n-grams are of.
            nats: learnable nats per frame.
            seed: seed of the planting.

        Raises:
            InputError: neither triples nor pairs of these keys come often enough.
        """
        params = self.params.model_copy(update={"engram": settings})
        state, codes = self.subject.data, self.subject.codes
        keys = make_subject(self.subject.name, state, codes, params).keys
        size = self.noise, nats, self.subject.params.warmup_frames, seed
        for order in sorted(ORDERS, reverse=True):
            try:
                found = plant(state, keys, *size, order)
            except InputError:
                if order == min(ORDERS):
                    raise
                continue
            name = f"planted_{nats:g}"
            return with_keys(name, found.data, codes, found.keys, params), found
        raise AssertionError  # ORDERS is not empty

    def jobs(
        self, subject: Subject, settings: EngramParams, seed: int, variants: tuple[Variant, ...]
    ) -> list[Job]:
        """Give one training of each variant on a subject of `planted`."""
        shape = make_shape(subject, self.params.model_copy(update={"engram": settings}))
        width = sizes(shape)
        return [Job(subject, shape, variant, width[variant], seed) for variant in variants]


def choose(grounds: Grounds, start: EngramParams) -> tuple[EngramParams, dict[str, object]]:
    """Choose settings one after the other, each by what is found of planted motifs on validation.

    Args:
        grounds: what motifs are planted into.
        start: the settings to begin with.

    Returns:
        The settings that found most, and what each found: the loss of as many parameters in width
        less that of the memory.
    """
    study, best = grounds.params.bet3_study, start
    told: dict[str, object] = {}
    for name, values in study.sweep.model_dump().items():
        tried = {value: best.model_copy(update={name: value}) for value in values}
        found = {value: trial(grounds, settings) for value, settings in tried.items()}
        told[name] = {f"v{value}".replace(".", "_"): of for value, of in found.items()}
        worth = {value: of.get("help_nats_per_frame", -np.inf) for value, of in found.items()}
        best = tried[max(worth, key=lambda value: worth[value])]
    return best, told


def trial(grounds: Grounds, settings: EngramParams) -> dict[str, float]:
    """Measure on validation what a memory with these settings finds of one planting."""
    study, seed = grounds.params.bet3_study, grounds.params.seed
    try:
        subject, planted = grounds.planted(settings, study.sweep_nats, seed)
    except InputError:
        return {"can_be_planted": 0}
    jobs = grounds.jobs(subject, settings, seed, TRIED)
    results = run_kept(grounds.folder, jobs, validated, "sweep")
    memory, dense, plain = (float(of["validation"]) for of in results)
    return {
        "can_be_planted": 1,
        "help_nats_per_frame": dense - memory,
        "help_over_none_nats_per_frame": plain - memory,
        "nll_nats_per_frame": memory,
        "keys_in_a_motif": planted.order,
        "motif_share": planted.motif_share,
        "shift_sd": planted.sd,
        "width": jobs[0].width,
        "iso_parameter_width": jobs[1].width,
        "parameters": parameters(build(jobs[0].shape, "engram", jobs[0].width, seed)),
    }


def power(grounds: Grounds, settings: EngramParams, nats: float) -> dict[str, object]:
    """Measure how many plantings of motifs of one worth are found on test.

    A planting is found if the lower end of the memory's help over as many parameters in width is
    above 0. Each has a plane, shifts and seeds of its own and is searched once, so that the chance
    of training is in the share of those found.

    Args:
        grounds: what motifs are planted into.
        settings: settings of the memory.
        nats: learnable nats per frame.
    """
    found = list(plantings(grounds, settings, nats))
    seen = [helped["help_nats_per_frame_ci_low"] > 0 for helped, _ in found]
    return {
        "found_share": float(np.mean(seen)),
        "help_nats_per_frame": float(np.mean([of["help_nats_per_frame"] for of, _ in found])),
        **{f"p{number}": {**helped, **more} for number, (helped, more) in enumerate(found)},
    }


def plantings(
    grounds: Grounds, settings: EngramParams, nats: float
) -> Iterator[tuple[dict[str, float], dict[str, object]]]:
    """Search all plantings of one worth.

    Yields:
        The memory's help on test over as many parameters in width, with its interval, and what else
        is known of the planting.
    """
    params = grounds.params
    for number in range(params.bet3_study.plantings):
        seed = params.seed + number
        subject, planted = grounds.planted(settings, nats, seed)
        jobs = grounds.jobs(subject, settings, seed, COMPARED)
        results = run_kept(grounds.folder, jobs, scored, f"{nats:g} nats, planting {number}")
        pairs = zip(COMPARED, results, strict=True)
        trained: dict[str, list[Trained]] = {variant: [as_trained(of)] for variant, of in pairs}
        draws = params.predict.bootstrap_samples
        effects = Effects(subject, trained, "test", draws, params.seed)
        helped = effects.help("iso_parameter").metrics("help_nats_per_frame")
        more: dict[str, object] = {
            "learnable_nats_per_frame": planted.learnable_nats_per_frame,
            "keys_in_a_motif": planted.order,
            "motif_share": planted.motif_share,
            "shift_sd": planted.sd,
            "by_count": effects.by_count(),
            "by_key_noise": effects.by_key_noise(),
        }
        yield helped, more
