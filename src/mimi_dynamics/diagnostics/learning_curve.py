"""How the gain grows with the amount of training data: is it still rising?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from mimi_dynamics.density.fit import WITHOUT_NETWORK, FitSpec
from mimi_dynamics.evidence.gains import STACK, Fits, Gains, fit_many, stacks
from mimi_dynamics.evidence.surrogates import shuffled
from mimi_dynamics.latents.sequences import Sequences

PARTS = {"quarter": 4, "half": 2}  # One in so many clips of train.
WHOLE = "all"


def parts_of_train(template: FitSpec) -> dict[str, dict[str, Sequences]]:
    """Give the real data with less of train, and the same shuffled within clips.

    Args:
        template: the fit to all of train.

    Returns:
        The data by part and by row.
    """
    parts = {}
    for name, count in PARTS.items():
        real = template.sequences.part_of_train(count)
        generator = torch.Generator().manual_seed(template.seed)
        parts[name] = {"real": real, "shuffled": shuffled(real, generator, template.first)}
    return parts


def fit_rows(
    template: FitSpec,
    rows: Mapping[str, Sequences],
    head: str,
    beside: Sequence[str] = WITHOUT_NETWORK,
) -> Fits:
    """Fit a head and some densities without a network to every row of data, and stack them.

    Args:
        template: settings shared by all fits.
        rows: the data by name.
        head: name of the head.
        beside: the densities without a network, `LINEAR_BASELINE` among them.
    """
    jobs = [
        replace(template, row=row, sequences=data, head=of)
        for row, data in rows.items()
        for of in (head, *beside)
    ]
    fits = fit_many(jobs)
    return fits | stacks(fits, head)


def learning_curve(
    template: FitSpec,
    parts: Mapping[str, Mapping[str, Sequences]],
    fits: Mapping[str, Fits],
    whole: Gains,
) -> dict[str, object]:
    """Compare the gains that were found with a quarter, a half and all of train.

    Args:
        template: the fit to all of train.
        parts: what `parts_of_train` gave.
        fits: the fits of each part.
        whole: the gains found with all of train, on the split to score.

    Returns:
        By part, the number of train frames that are targets, and the gain and the dynamic gain of
        the stack, in nats per dimension; and `rise_nats_per_dim`, the paired difference of the gain
        with all of train to that with half of it.
    """
    gains = {
        name: Gains(template, rows, fits[name], whole.split, whole.bootstrap)
        for name, rows in parts.items()
    }
    sizes = {name: rows["real"].train_targets(template.first) for name, rows in parts.items()}
    gains[WHOLE], sizes[WHOLE] = whole, template.sequences.train_targets(template.first)
    rise = whole.gain("real", STACK) - gains["half"].gain("real", STACK)
    by_part: dict[str, object] = {
        name: {
            "train_frames": sizes[name],
            **of.gain("real", STACK).metrics("gain_nats_per_dim"),
            **of.dynamic_gain(STACK).metrics("dynamic_gain_nats_per_dim"),
        }
        for name, of in gains.items()
    }
    return {**by_part, **rise.metrics("rise_nats_per_dim")}
