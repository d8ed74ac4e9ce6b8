"""What kind of structure does the predictor find: how much past, how much capacity, and where?

Fits the density of `predict` that comes apart by principal component: with less and less past, with
fewer and fewer hidden units, and to frames that keep the course of loudness only; and weighs the
gain of each component by what it does to the decoded sound.

    python src/structure.py      (or: dvc repro structure)

Reads data/latents/, models/normalizer.safetensors and the codec.
Writes metrics/structure.json, plots/structure.csv and plots/structure.png.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from mimi_dynamics.codec import load_codec
from mimi_dynamics.components import component_effects, component_gains, effect_metrics
from mimi_dynamics.estimation import Fit, check_horizon, evaluated_splits
from mimi_dynamics.figures import save_figure
from mimi_dynamics.files import write_metrics, write_text
from mimi_dynamics.gains import Gains, clip_bootstrap, fit_many
from mimi_dynamics.latents import Latents, read_latents
from mimi_dynamics.normalizer import load_normalizer, normalized_sequences
from mimi_dynamics.params import Params
from mimi_dynamics.stage import run_stage
from mimi_dynamics.structure_figures import structure_figure
from mimi_dynamics.surrogates import keep_loudness

HEAD = "autoregressive"  # without the layer of `flow`, which mixes components


def structure(params: Params) -> None:
    """Run the stage."""
    latents = read_latents(Path("data/latents"))
    normalizer = load_normalizer(Path("models/normalizer.safetensors"))
    real = normalized_sequences(latents, normalizer, params.latents.voiced_range_db)
    settings = params.predict, params.seed
    template = Fit("real", real, HEAD, params.horizon, *settings, compute=params.compute)
    check_horizon(template)
    jobs = variants(template, params) | {"loudness": with_loudness_only(template, latents)}
    fits = fit_many(list(jobs.values()))

    effects = component_effects(
        load_codec(params.codec), normalizer, latents, params.structure.listen_clips, params.seed
    )
    metrics: dict[str, object] = {"horizon_frames": params.horizon, "dim": real.dim}
    for split in evaluated_splits(real):
        bootstrap = clip_bootstrap(real, split, params.predict.bootstrap_samples, params.seed)
        rows = {name: job.sequences for name, job in jobs.items()}
        gains = Gains(template, rows, fits, split, bootstrap)
        by_component = component_gains(template, fits, split)
        clip = gains.scored["real"].clip
        found = summarise(gains, params)
        found |= effect_metrics(by_component, effects, clip, bootstrap)
        metrics |= found if split == "test" else {split: found}
    write_metrics(Path("metrics/structure.json"), metrics)
    write_plots(metrics)


def variants(template: Fit, params: Params) -> dict[str, Fit]:
    """The fit with all of both, and the same with less past or less capacity, by name."""
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


def with_loudness_only(template: Fit, latents: Latents) -> Fit:
    """The fit to frames of which only the course of loudness is left."""
    generator = torch.Generator().manual_seed(template.seed)
    frames = keep_loudness(template.sequences, latents.rms_db, generator)
    return replace(template, row="loudness", sequences=frames)


def summarise(gains: Gains, params: Params) -> dict[str, object]:
    """All that `metrics/structure.json` says of one split, but for the components."""
    settings, name = params.structure, "gain_nats_per_dim"
    whole = gains.gain("real", HEAD)
    loudness = gains.gain("loudness", HEAD)

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
        "voiced": gains.gain("real", HEAD, frames="voiced").metrics(name),
        "silent": gains.gain("real", HEAD, frames="silent").metrics(name),
        "loudness_only": loudness.metrics(name),
        "beyond_loudness": (whole - loudness).metrics(name),
    }


def write_plots(metrics: dict[str, object]) -> None:
    """Every gain of the test split as CSV and as a figure."""
    rows = [
        {"what": what, "of": of, **values}
        for what in ("context", "width", "component")
        for of, values in metrics[what].items()
    ]
    rows += [
        {"what": "frames", "of": of, **metrics[of]}
        for of in ("voiced", "silent", "loudness_only", "beyond_loudness")
    ]
    table = pd.DataFrame(rows)
    write_text(Path("plots/structure.csv"), table.to_csv(index=False, float_format="%.6g"))
    save_figure(structure_figure(table), Path("plots/structure.png"))


if __name__ == "__main__":
    run_stage(structure)
