"""How far ahead are forecasts useful if they continue from their own samples?

Samples continuations of held-out clips frame by frame, and scores them at every lead time against
what was really said. Compares them with the predictors that jump to each lead directly, with a
linear model, and with random frames.

    python src/rollout.py        (or: dvc repro rollout)

Reads data/latents/, models/normalizer.safetensors, models/horizons/ and the codec.
Writes metrics/rollout.json, metrics/detail/rollout.json, plots/rollout.csv and data/rollout/,
which holds continuations to listen to and their spectrograms.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.density.var import Var, fit_var
from mimi_dynamics.generation.continuations import listen, make_decoder
from mimi_dynamics.generation.generator import Generator, load_generator, make_grid
from mimi_dynamics.generation.rollouts import linear_floor
from mimi_dynamics.generation.scores import score_forecasts, scores_of_each_lead
from mimi_dynamics.generation.sounds import write_sounds
from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.sequences import Sequences, make_batches
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.files import require_predictor, write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import has_decoder, say_without
from mimi_dynamics.studies.rollout.metrics import FORECASTS, Scores, curves, summarise

SOUNDS_TITLE = "Up to the line what was said; after it, what the predictor makes up"


def rollout(params: Params) -> None:
    """Run the stage."""
    predictors = {k: require_predictor(k) for k in params.horizons}
    latents, normalizer, real = load(params)
    longest = max(params.horizons)
    grids = {split: make_grid(params, real, split, longest) for split in evaluated_splits(real)}
    var = Generator(linear_floor(fit_linear(real, params)), real)
    generators: dict[str, Generator | Path] = {"rollout": predictors[NEXT_FRAME], "var": var}
    draws, scores = params.predict.bootstrap_samples, {}
    for split, grid in grids.items():
        table = score_forecasts(generators, predictors, grid, split, params.compute)
        scores[split] = scores_of_each_lead(table, draws, params.seed)
    write_stage_metrics("rollout", summarise(scores))
    write_plots(scores, real)

    clips = []
    if has_decoder(latents.info):
        names = latents.clip_ids[latents.splits == "test"]
        decode = make_decoder(load_codec(params.codec, params.compute), normalizer)
        test = real.select("test")
        sample = load_generator(predictors[NEXT_FRAME], test)
        clips = listen(params, {"sample": sample}, test, names, decode)
    else:
        say_without("rollout", "decoder", "continuations are scored, and none is to be heard")
    write_sounds(clips, SOUNDS_TITLE, Path("data/rollout"))


def fit_linear(real: Sequences, params: Params) -> Var:
    """Fit the ridge VAR one frame ahead, which is also the linear floor of stage `predict`."""
    size = params.predict.warmup_frames, params.predict.batch_frames
    train, validation = (
        make_batches(real.select(split), NEXT_FRAME, *size) for split in ("train", "validation")
    )
    return fit_var(train, validation, params.predict.var_order)


def write_plots(scores: Scores, real: Sequences) -> None:
    """Write all curves as CSV, with one row for each split, lead and kind of forecast.

    Args:
        scores: the scores by split and lead.
        real: what was forecast, of which only the frame rate counts.
    """
    rows = [
        {"split": split, "lead_ms": real.milliseconds(k), "row": row, **curves(at_lead, row, k)}
        for split, by_lead in scores.items()
        for k, at_lead in by_lead.items()
        for row in (*FORECASTS, "truth")
    ]
    table = pd.DataFrame(rows)
    write_table(Path("plots/rollout.csv"), table)


if __name__ == "__main__":
    run_stage(rollout)
