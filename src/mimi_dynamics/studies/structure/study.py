"""Variants of the predictor with less past or less capacity, and the gain of each."""

from dataclasses import replace

import torch

from mimi_dynamics.density.fit import FitSpec
from mimi_dynamics.evidence.gains import Gains
from mimi_dynamics.evidence.surrogates import keep_loudness
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.params import Params

HEAD = "autoregressive"  # unlike `flow`, it has no layer that mixes components


def variants(template: FitSpec, params: Params) -> dict[str, FitSpec]:
    """Give the full fit, and fits with less past or with less capacity, by name."""
    fits = {"real": template}
    for name, setting, values in (
        ("context", "context_frames", params.structure.contexts),
        ("width", "width", params.structure.widths),
    ):
        for value in values:
            changed = template.params.model_copy(update={setting: value})
            row = f"{name} {value}"
            fits[row] = replace(template, row=row, params=changed)
    return fits


def with_loudness_only(template: FitSpec, latents: Latents) -> FitSpec:
    """Give the fit to frames in which only the course of loudness is left."""
    generator = torch.Generator().manual_seed(template.seed)
    frames = keep_loudness(template.sequences, latents.rms_db, generator, template.first)
    return replace(template, row="loudness", sequences=frames)


def summarise(gains: Gains, params: Params) -> dict[str, object]:
    """Give the entry of one split in `metrics/detail/structure.json`, without the components.

    `voiced` or `silent` is left out if no such frame is scored, and what loudness explains if it
    was not fitted.
    """
    settings, name = params.structure, "gain_nats_per_dim"
    whole = gains.gain("real", HEAD)
    loudness = {}
    if "loudness" in gains.scored:
        alone = gains.gain("loudness", HEAD)
        loudness = {
            "loudness_only": alone.metrics(name),
            "beyond_loudness": whole.beyond(alone).metrics(name),
        }

    def beside_whole(row: str) -> dict[str, float]:
        gain = gains.gain(row, HEAD)
        return gain.metrics(name) | (gain / whole).metrics("share")

    contexts = {f"c{frames:02d}": f"context {frames}" for frames in settings.contexts}
    contexts["all"] = "real"
    widths = {width: f"width {width}" for width in settings.widths}
    widths[params.predict.width] = "real"
    return {
        "context": {key: beside_whole(row) for key, row in contexts.items()},
        "width": {f"w{width:03d}": beside_whole(widths[width]) for width in sorted(widths)},
        **{
            frames: gains.gain("real", HEAD, frames=frames).metrics(name)
            for frames in ("voiced", "silent")
            if gains.has(frames)
        },
        **loudness,
    }
