"""The same measures of predictability, applied to the latents of every encoder."""

from dataclasses import replace

import torch

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec, evaluated_splits
from mimi_dynamics.evidence.gains import Gains, clip_bootstrap, fit_many
from mimi_dynamics.evidence.surrogates import shuffle
from mimi_dynamics.latents.normalizer import (
    fit_normalizer,
    frames_in_split,
    normalized_sequences,
    voiced_frames,
)
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.encoders.measures import (
    autocorrelation,
    effective_dimension,
    loudness_share,
    variance_kept_by_leading,
)


def whitened(latents: Latents, params: Params) -> Sequences:
    """Give the leading principal components, computed as in the stage `normalize`."""
    voiced = voiced_frames(latents, params.latents.voiced_range_db)
    fitted_on = latents.values[frames_in_split(latents, "train") & voiced]
    normalizer = fit_normalizer(fitted_on, params.latents.dim)
    return normalized_sequences(latents, normalizer, params.latents.voiced_range_db)


def measures(latents: Latents, data: Sequences, params: Params) -> dict[str, object]:
    """Compute the measures that need no predictor."""
    voiced = voiced_frames(latents, params.latents.voiced_range_db)
    heard = ~latents.gated
    train, test = (frames_in_split(latents, split) & heard for split in ("train", "test"))
    spoken = latents.values[train & voiced]
    test_data = data.select("test")
    return {
        "latent_dim": latents.values.shape[1],
        "effective_dim": effective_dimension(spoken),
        "variance_kept": {
            f"c{count:03d}": share
            for count, share in variance_kept_by_leading(spoken).items()
            if count <= latents.values.shape[1]
        },
        "loudness_r2": loudness_share(latents.values, latents.rms_db, train, test),
        "autocorrelation": {f"k{k}": autocorrelation(test_data, k) for k in params.horizons},
    }


def predictability(
    data: dict[str, Sequences], params: Params
) -> dict[str, dict[str, dict[str, object]]]:
    """Give gains by split and source, those of the linear model at all horizons.

    Args:
        data: the latents of each source, by its name; `trained` must be among them.
        params: all settings.
    """
    generator = torch.Generator().manual_seed(params.seed)
    rows = data | {f"{name}_shuffled": shuffle(of, generator) for name, of in data.items()}
    settings = params.predict.model_copy(update={"width": params.encoders.width})
    shared = params.head, NEXT_FRAME, settings, params.seed
    base = FitSpec("", data["trained"], *shared, compute=params.compute)
    flows = {row: replace(base, row=row, sequences=of) for row, of in rows.items()}
    fits = fit_many(list(flows.values()))
    linear = {
        k: fit_many([replace(job, head=LINEAR_BASELINE, horizon=k) for job in flows.values()])
        for k in params.horizons
    }
    results = {}
    for split in evaluated_splits(base.sequences):
        draws = clip_bootstrap(base.sequences, split, settings.bootstrap_samples, params.seed)
        gains = Gains(base, rows, fits, split, draws)
        by_lead = {
            k: Gains(replace(base, horizon=k), rows, of, split, draws) for k, of in linear.items()
        }
        results[split] = {name: gain_metrics(name, gains, by_lead, params.head) for name in data}
    return results


def gain_metrics(
    name: str, gains: Gains, by_lead: dict[int, Gains], head: str
) -> dict[str, object]:
    """Give the gains of one source in nats per dimension.

    Args:
        name: the source.
        gains: gains of the density head.
        by_lead: gains of the linear model, by lead in frames.
        head: name of the density head.

    Returns:
        The whole gain, the part of it that the order in time adds, and the linear part of the
        latter by lead.
    """
    gain, shuffled = gains.gain(name, head), gains.gain(f"{name}_shuffled", head)
    linear = {
        f"k{k}": (
            of.gain(name, LINEAR_BASELINE) - of.gain(f"{name}_shuffled", LINEAR_BASELINE)
        ).metrics("linear_dynamic_gain_nats_per_dim")
        for k, of in by_lead.items()
    }
    return (
        gain.metrics("gain_nats_per_dim")
        | (gain - shuffled).metrics("dynamic_gain_nats_per_dim")
        | linear
    )
