"""From scores of codes to bits: what each thing known about them saves, with intervals."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.studies.codes.data import CodeData
from mimi_dynamics.studies.codes.fits import Nats

Metrics = dict[str, object]


def split_metrics(
    scores: Mapping[str, Nats],
    data: CodeData,
    split: str,
    bootstrap: ClipBootstrap,
    frame_rate: float,
) -> Metrics:
    """Give the entry of one split in `metrics/detail/codes.json`.

    Args:
        scores: what `fit_all` gives.
        data: the codes.
        split: name of the split.
        bootstrap: draws of its clips.
        frame_rate: frames per second.
    """
    clip, voiced = scored_frames(data, split)
    of_split = {name: nats[split] for name, nats in scores.items()}
    metrics = saved(of_split, clip, data.vectors.shape[1], bootstrap, frame_rate)
    if voiced.any():
        # A shuffled frame is voiced where the frame it was made of is, which scores do not tell.
        spoken = {name: of[voiced] for name, of in of_split.items() if name != "shuffled"}
        of_voiced = saved(spoken, clip[voiced], data.vectors.shape[1], bootstrap, frame_rate)
        metrics["voiced"] = {"share": float(voiced.mean()), **of_voiced}
    metrics["codebooks"] = {
        f"q{number + 1:02d}": {
            f"{name}_bits": float(of[:, number].mean(dtype=np.float64)) / math.log(2)
            for name, of in of_split.items()
        }
        for number in range(len(data.vectors))
    }
    return {"frames": len(clip), **metrics}


def scored_frames(data: CodeData, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the clip of every scored frame of a split, and whether it is voiced, both (scored,)."""
    sequences = data.sequences.select(split)
    frame = np.concatenate([batch.frame.numpy() for batch in data.batches(split)])
    return sequences.clip_of_frame[frame], sequences.voiced.numpy()[frame]


def saved(
    scores: Mapping[str, np.ndarray],
    clip: np.ndarray,
    bins: int,
    bootstrap: ClipBootstrap,
    frame_rate: float,
) -> Metrics:
    """Give bits per second by all that codes are scored by, and the shares that are saved.

    Args:
        scores: (frames, codebooks) nats, by what codes are scored by: `frequencies`,
            `within_frame`, `given_past`, and `shuffled` where there is one.
        clip: (frames,) index of each frame's clip.
        bins: number of values that each code can have.
        bootstrap: draws of the clips.
        frame_rate: frames per second.

    Returns:
        Names of shares say what is saved by the last thing that is known; all but
        `saved_share_over_frequencies` are shares of the nominal rate.
    """
    codebooks = scores["given_past"].shape[1]
    nominal = codebooks * math.log2(bins) * frame_rate
    bits = {
        name: bootstrap.mean(nats.sum(1), clip) / (math.log(2) / frame_rate)
        for name, nats in scores.items()
    }
    frequencies, within, given_past = (
        bits[name] for name in ("frequencies", "within_frame", "given_past")
    )
    total = Estimate(nominal, np.where(np.isnan(given_past.resamples), np.nan, nominal))
    from_past = within - given_past
    shares = {
        "saved_share": (total - given_past) / nominal,
        "saved_share_by_frequencies": (total - frequencies) / nominal,
        "saved_share_within_frame": (frequencies - within) / nominal,
        "saved_share_from_past": from_past / nominal,
        "saved_share_over_frequencies": (frequencies - given_past) / frequencies,
    }
    if "shuffled" in bits:
        from_shuffled = within - bits["shuffled"]
        shares["saved_share_from_shuffled_past"] = from_shuffled / nominal
        shares["saved_share_from_past_beyond_shuffled"] = from_past.beyond(from_shuffled) / nominal
    metrics: Metrics = {"nominal_bits_per_s": nominal}
    for name, estimate in bits.items():
        metrics |= estimate.metrics(f"{name}_bits_per_s")
    for name, estimate in shares.items():
        metrics |= estimate.metrics(name)
    return metrics


def by_codebook(
    scores: Mapping[str, Nats], data: CodeData, split: str, bootstrap: ClipBootstrap
) -> pd.DataFrame:
    """Give the bits of a code of each codebook, by all that codes are scored by.

    Args:
        scores: what `fit_all` gives.
        data: the codes.
        split: name of the split.
        bootstrap: draws of its clips.

    Returns:
        Rows of `codebook`, from 1, `scored_by`, and `bits` with `bits_ci_low` and `bits_ci_high`.
    """
    clip, _ = scored_frames(data, split)
    codebooks, bins, _ = data.vectors.shape
    rows = [
        {"codebook": number + 1, "scored_by": name}
        | (bootstrap.mean(nats[split][:, number], clip) / math.log(2)).metrics("bits")
        for number in range(codebooks)
        for name, nats in scores.items()
    ]
    nominal = [
        {"codebook": number + 1, "scored_by": "nominal"}
        | dict.fromkeys(COLUMNS[2:], math.log2(bins))
        for number in range(codebooks)
    ]
    return pd.DataFrame(nominal + rows, columns=list(COLUMNS))


COLUMNS = ("codebook", "scored_by", "bits", "bits_ci_low", "bits_ci_high")
