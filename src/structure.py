"""What structure does the predictor find, how much past and capacity does it take, and where is it?

Fits a density of stage `predict` whose score is a sum over principal components. Fits it with less
and less past, with fewer and fewer hidden units, and to frames that keep only the course of
loudness. Also weights the gain of each component by its effect on the decoded sound.

    python src/structure.py      (or: dvc repro structure)

Reads data/latents/, models/normalizer.safetensors and the codec.
Writes metrics/detail/structure.json and plots/structure.csv.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.density.fit import FitSpec, check_horizon, evaluated_splits
from mimi_dynamics.evidence.gains import Gains, clip_bootstrap, fit_many
from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.normalizer import levels_known
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import Metrics, write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import has_decoder, say_without
from mimi_dynamics.quality.components import component_effects
from mimi_dynamics.studies.structure.components import component_gains, effect_metrics
from mimi_dynamics.studies.structure.study import (
    HEAD,
    summarise,
    variants,
    with_loudness_only,
)


def structure(params: Params) -> None:
    """Run the stage."""
    latents, normalizer, real = load(params)
    settings = params.predict, params.seed
    template = FitSpec("real", real, HEAD, NEXT_FRAME, *settings, compute=params.compute)
    check_horizon(template)
    jobs = variants(template, params)
    if levels_known(latents):
        jobs["loudness"] = with_loudness_only(template, latents)
    else:
        say_without("structure", "known loudness", "what it explains of the gain is left out")
    fits = fit_many(list(jobs.values()))

    effects = None
    if has_decoder(latents.info):
        codec, clips = load_codec(params.codec), params.structure.listen_clips
        effects = component_effects(codec, normalizer, latents, clips, params.seed)
    else:
        say_without("structure", "decoder", "what components do to the sound is not measured")
    metrics: dict[str, object] = {"horizon_frames": NEXT_FRAME, "dim": real.dim}
    for split in evaluated_splits(real):
        bootstrap = clip_bootstrap(real, split, params.predict.bootstrap_samples, params.seed)
        rows = {name: job.sequences for name, job in jobs.items()}
        gains = Gains(template, rows, fits, split, bootstrap)
        by_component = component_gains(template, fits, split)
        clip = gains.scored["real"].clip
        result = summarise(gains, params)
        result |= effect_metrics(by_component, effects, clip, bootstrap)
        metrics |= result if split == "test" else {split: result}
    write_stage_metrics("structure", metrics)
    write_plots(metrics)


def write_plots(metrics: Metrics) -> None:
    """Write every gain on the test split as CSV."""
    rows = [
        {"what": what, "of": of, **values}
        for what in ("context", "width", "component")
        for of, values in metrics[what].items()
    ]
    rows += [
        {"what": "frames", "of": of, **metrics[of]}
        for of in ("voiced", "silent", "loudness_only", "beyond_loudness")
        if of in metrics
    ]
    table = pd.DataFrame(rows)
    write_table(Path("plots/structure.csv"), table)


if __name__ == "__main__":
    run_stage(structure)
