r"""Does a lookup of older frames help a network that cannot see them?

In bet 3 the network sees all frames up to now, so that its memory can only know better what the
network knows too. Here the network sees the last 4 frames, and the memory is addressed by n-grams
that reach back to the 8th. What there is to win is what a network gains that sees all frames.
Settings of the memory are those that `bet3_study` chose on planted motifs, but for larger tables,
since there are more n-grams of 8 keys than of 3.

    PYTHONPATH=src .venv/bin/python benchmarks/reach.py

Reads data/latents/, data/states/, models/normalizer.safetensors and metrics/detail/bet3_study.json.
Prints a page, which --write keeps as docs/explanation/engram_reach.md. Takes 10 minutes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from machine import page_command
from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.studies.engram.comparison import train_all
from mimi_dynamics.studies.engram.metrics import BUCKETS, Effects
from mimi_dynamics.studies.engram.model import Variant
from mimi_dynamics.studies.engram.study import Job, Subject, Trained
from mimi_dynamics.studies.engram.subjects import make_shape, make_subjects

COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/reach.py --write"
PAGE = Path("docs/explanation/engram_reach.md")
STUDY = Path("metrics/detail/bet3_study.json")
SEEN_FRAMES = 4  # by the network, but for the arm that sees all
BEYOND = (5, 8)  # lengths of n-grams, whose oldest keys the network does not see
WITHIN = (2, 3)
ROWS = 65_536  # of a table: train has about 40,000 frames
SEEDS = 5
SPLIT = "test"
NAMES = {"raw": "x", "z_dyn": "z_dyn"}
BUCKET_NAMES = {"never": "never", "to3": "1 to 3", "to15": "4 to 15", "more": "16 or more"}


@dataclass(frozen=True)
class Arm:
    """One kind of model.

    Attributes:
        name: its row in the table.
        variant: of the memory, or of what stands in its place.
        frames: how many the network sees; 0 means all.
        orders: lengths of the n-grams that address the memory.
    """

    name: str
    variant: Variant
    frames: int = SEEN_FRAMES
    orders: tuple[int, ...] = BEYOND

    def jobs(self, subject: Subject, params: Params) -> list[Job]:
        """Give its trainings, one for each seed; the linear model sees as many frames."""
        var_order = self.frames or params.predict.var_order
        predict = params.predict.model_copy(update={"var_order": var_order})
        shape = make_shape(subject, params.model_copy(update={"predict": predict}))
        shape = replace(shape, context_frames=self.frames, orders=self.orders)
        width = params.engram.width
        return [Job(subject, shape, self.variant, width, seed) for seed in range(SEEDS)]


PLAIN = Arm("no memory", "none")
MEMORY = Arm(f"n-grams of {BEYOND[0]} and {BEYOND[1]} keys", "engram")
SHUFFLED = Arm(f"{MEMORY.name}, shuffled", "shuffled_keys")
ONE_ROW = Arm(f"{MEMORY.name}, one row of each table", "one_row")
ARMS = (
    PLAIN,
    Arm("no memory, the network sees all frames", "none", frames=0),
    Arm(f"n-grams of {WITHIN[0]} and {WITHIN[1]} keys", "engram", orders=WITHIN),
    MEMORY,
    SHUFFLED,
    ONE_ROW,
)


def main() -> None:
    """The command."""
    page_command(__doc__, PAGE, lambda: "\n".join(page(with_chosen(load_params()))))


def with_chosen(params: Params) -> Params:
    """Give the settings with those of the memory that the study chose, and larger tables."""
    study = json.loads(require(STUDY, "bet3_study").read_text(encoding="utf-8"))
    engram = params.engram.model_copy(update=study["chosen"] | {"rows": ROWS})
    return params.model_copy(update={"engram": engram})


def page(params: Params) -> Iterator[str]:
    """Yield the lines of the page."""
    latents, _, data = load(params)
    subjects = make_subjects(params, latents, data)
    found = {of.name: train_arms(of, params) for of in subjects}
    yield "# A memory of what the network cannot see"
    yield ""
    yield f"By `{COMMAND}`: the network sees the last"
    yield f"{SEEN_FRAMES} frames, and a linear model of as many. The memory has the settings that"
    yield f"`bet3_study` chose on planted motifs, and {ROWS:,} rows a table. What it reads goes"
    yield "through a convolution and a gate, by which it reaches further back than its keys; what"
    yield "these two do without a lookup is in the row of one row. A state z_dyn has itself seen 16"
    yield f"frames of x. {SEEDS} trainings each, paired by seed; nats per frame on {SPLIT}, more is"
    yield "better, with 95 % intervals over clips and trainings."
    for subject in subjects:
        yield ""
        yield f"## {NAMES[subject.name]}"
        yield ""
        yield from gains(subject, found[subject.name], params)
        yield ""
        yield from by_count(subject, found[subject.name], params)


def train_arms(subject: Subject, params: Params) -> dict[Arm, list[Trained]]:
    """Train all arms on one subject."""
    return train_all({arm: arm.jobs(subject, params) for arm in ARMS})


def effects(
    subject: Subject, plain: list[Trained], memory: list[Trained], params: Params
) -> Effects:
    """Compare the trainings of one arm with those of another, which stands for none."""
    draws = params.predict.bootstrap_samples
    trained: Mapping[str, list[Trained]] = {"engram": memory, "none": plain}
    return Effects(subject, trained, SPLIT, draws, params.seed)


def gains(subject: Subject, found: dict[Arm, list[Trained]], params: Params) -> Iterator[str]:
    """Yield what each arm gains over the network alone."""
    yield "| model | gains over | nats per frame |"
    yield "|---|---|---|"
    pairs = [(arm, PLAIN) for arm in ARMS[1:]] + [(MEMORY, SHUFFLED), (MEMORY, ONE_ROW)]
    for arm, other in pairs:
        gain = effects(subject, found[other], found[arm], params).help("none").metrics("gain")
        yield f"| {arm.name} | {other.name} | {with_ends(gain)} |"


def by_count(subject: Subject, found: dict[Arm, list[Trained]], params: Params) -> Iterator[str]:
    """Yield the gain by how often train had the n-gram, for both lengths."""
    compared = effects(subject, found[PLAIN], found[MEMORY], params)
    yield f"{MEMORY.name.capitalize()}, by how often train had the last so many keys:"
    yield ""
    yield "| keys | " + " | ".join(f"{name}: share, gain" for name in BUCKET_NAMES.values()) + " |"
    yield "|---|" + "---|" * len(BUCKET_NAMES)
    for order in BEYOND:
        counts = compared.counts(order)
        cells = [in_bucket(compared, counts, *BUCKETS[name]) for name in BUCKET_NAMES]
        yield f"| {order} | {' | '.join(cells)} |"


def in_bucket(compared: Effects, counts: np.ndarray, least: int, most: int | None) -> str:
    """Give the share of frames whose n-gram was seen so often, and the gain there."""
    kept = (counts >= least) & (counts <= (counts.max() if most is None else most))
    if not kept.any():
        return "0 %"
    gain = compared.help("none", kept).metrics("gain")
    return f"{100 * kept.mean():.0f} %, {with_ends(gain)}"


def with_ends(gain: Mapping[str, float]) -> str:
    """Give a gain with its interval."""
    return f"{gain['gain']:+.3f} [{gain['gain_ci_low']:+.3f}, {gain['gain_ci_high']:+.3f}]"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
